"""What an asset shows of itself."""

from __future__ import annotations

import base64
import io

import polars as pl
import pytest
from PIL import Image

from vol_platform.derivations.contracts import CheckOutcome, DerivationContext
from vol_platform.derivations.registry import REGISTRY, by_name, derive_all
from vol_platform.record.engine import DerivationResult, HourChecks
from vol_platform.record.presentation import (
    check_metadata,
    markdown_table,
    materialisation_metadata,
)
from vol_platform.store.publish import PublishedHour
from vol_platform_tests.derivations.boards import raw_frames
from vol_platform_tests.record.ticks import HOUR


@pytest.fixture(scope="module")
def frames() -> dict[str, pl.DataFrame]:
    """Give everything that is derived from one board."""
    return derive_all(raw_frames(), DerivationContext())


def result_of(name: str, frames: dict[str, pl.DataFrame]) -> DerivationResult:
    result = DerivationResult(by_name(name), last_frame=frames[name])
    result.published[HOUR] = PublishedHour(HOUR, frames[name].height, 0xAB)
    return result


def test_an_hour_shows_rows_snapshots_and_checksum(frames: dict[str, pl.DataFrame]) -> None:
    shown = materialisation_metadata(result_of("quotes_clean", frames), frames, with_pictures=True)
    assert shown["dagster/partition_row_count"] == frames["quotes_clean"].height
    assert shown["snapshots"] == 1
    assert shown["content_checksum"] == "00000000000000ab"


@pytest.mark.parametrize(
    ("name", "pictures"),
    [
        ("surfaces", ["surface_BTC", "smiles_BTC"]),
        ("term_structure", ["term_structure_BTC"]),
        ("options_greeks", []),
    ],
)
def test_pictures_are_small_and_real(
    frames: dict[str, pl.DataFrame], name: str, pictures: list[str]
) -> None:
    shown = materialisation_metadata(result_of(name, frames), frames, with_pictures=True)
    for picture in pictures:
        text = str(shown[picture].value)
        png = base64.b64decode(text.split("base64,")[1].rstrip(")"))
        assert len(png) < 60_000
        with Image.open(io.BytesIO(png)) as image:
            assert image.width > 300
    plain = materialisation_metadata(result_of(name, frames), frames, with_pictures=False)
    assert set(shown) - set(plain) == set(pictures)


def test_a_surface_without_a_fit_has_no_picture(frames: dict[str, pl.DataFrame]) -> None:
    dark = frames | {"surfaces": frames["surfaces"].with_columns(atm_vol=pl.lit(None, pl.Float64))}
    shown = materialisation_metadata(result_of("surfaces", dark), dark, with_pictures=True)
    assert "surface_BTC" not in shown


def test_a_check_over_hours_shows_sums_and_a_failing_sample() -> None:
    check = REGISTRY[0].checks[0]
    sample = pl.DataFrame({"name": ["a|b"], "bid": [2.0]})
    checks = HourChecks(check)
    checks.outcomes[HOUR] = CheckOutcome(failed=2, examined=10, sample=sample)
    checks.outcomes[HOUR.replace(hour=16)] = CheckOutcome(failed=0, examined=5)
    shown = check_metadata(checks)
    assert not checks.passed
    assert (shown["failed_rows"], shown["examined_rows"], shown["hours"]) == (2, 15, 2)
    assert shown["failed_hours"] == "2026-02-04-15:00"
    assert "| a/b | 2.0 |" in str(shown["sample"].value)


def test_an_empty_sample_says_so() -> None:
    assert markdown_table(pl.DataFrame()) == "none"
