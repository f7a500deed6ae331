"""Pictures are whole, the same for the same rows, and say what they cannot draw."""

import struct

import polars as pl
import pytest

from vol_platform import plots
from vol_platform_tests.plots.conftest import SNAPSHOT

OF_A_SURFACE = ("smile_png", "surface_png", "overview_png", "term_structure_png")


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", png[16:24])


def draw(name, *frames):
    return getattr(plots, name)(*frames, currency="BTC", snapshot_ts=SNAPSHOT)


@pytest.mark.parametrize("name", OF_A_SURFACE)
def test_the_same_rows_give_the_same_bytes(name, drawn):
    first = draw(name, drawn.surface)
    assert first == draw(name, drawn.surface)
    assert min(size(first)) > 200
    assert b"Matplotlib" not in first, "a version inside would change the bytes with every update"


def test_quotes_show(drawn):
    assert draw("smile_png", drawn.surface) != draw("smile_png", drawn.surface, drawn.quotes)


def test_a_quote_that_the_fit_misses_looks_different(drawn):
    part = drawn.surface.filter(pl.col("status") != "refused").head(1)
    moved = drawn.quotes.with_columns(
        bid_price=pl.col("bid_price") * 1.05, ask_price=pl.col("ask_price") * 1.05
    )
    pictures = [draw("smile_png", part, quotes) for quotes in (drawn.quotes, moved)]
    assert pictures[0] != pictures[1]


def test_every_picture_is_drawn_when_all_expiries_are_refused(drawn):
    refused = drawn.surface.filter(pl.col("status") == "refused")
    assert refused.height == 1
    size(draw("overview_png", refused, drawn.quotes))
    size(draw("smile_png", refused))


def test_the_term_structure_takes_constant_maturities_and_forward_vols():
    frame = pl.DataFrame(
        {
            "expiry_years": [0.02, 0.1, 0.0822, 0.5],
            "atm_vol": [0.4, 0.42, 0.415, None],
            "forward_vol": [None, 0.43, None, None],
            "is_constant_maturity": [False, False, True, False],
        }
    )
    size(draw("term_structure_png", frame))


@pytest.mark.parametrize("name", OF_A_SURFACE)
def test_nothing_to_draw_is_said_with_the_market(name, drawn):
    with pytest.raises(ValueError, match="BTC"):
        draw(name, drawn.surface.clear())


def test_one_slice_alone_carries_its_note(drawn):
    row = drawn.surface.filter(pl.col("status") != "refused").head(1)
    notes = [
        plots.slice_png(row, drawn.quotes, currency="BTC", snapshot_ts=SNAPSHOT, note=note)
        for note in ("all quotes met", "three quotes missed")
    ]
    assert size(notes[0]) == (990, 594)
    assert notes[0] != notes[1]


def test_a_picture_of_one_slice_needs_one_row(drawn):
    with pytest.raises(ValueError, match="must hold 1 expiry, held 4"):
        plots.slice_png(drawn.surface, drawn.quotes, currency="BTC", snapshot_ts=SNAPSHOT, note="")
