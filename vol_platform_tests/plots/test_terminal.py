"""Terminal pictures show the same numbers."""

import io
import subprocess
import sys

import polars as pl
import pytest
from rich.console import Console

from vol_platform.plots import terminal
from vol_platform.plots.slices import slices


def text(renderable) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_the_term_structure_names_every_expiry_with_its_vol(drawn):
    shown = text(terminal.term_structure(drawn.surface))
    for part in slices(drawn.surface):
        if part.is_fitted:
            assert f"{100 * part.atm_vol:.2f} %" in shown
    assert "refused" in shown
    assert shown.count("█") > 60


def test_the_longest_bar_belongs_to_the_highest_vol():
    frame = pl.DataFrame(
        {
            "expiry_ts": [None, None],
            "expiry_years": [0.1, 0.2],
            "forward": [1.0, None],
            "atm_vol": [0.2, 0.4],
        }
    ).with_columns(expiry_ts=pl.lit("2026-06-26 08:00").str.to_datetime("%Y-%m-%d %H:%M"))
    lines = text(terminal.term_structure(frame, bar_width=20)).splitlines()
    assert [line.count("█") for line in lines if "26JUN26" in line] == [10, 20]


def test_the_smile_is_drawn_for_the_fitted_expiry_nearest_to_thirty_days(drawn):
    shown = text(terminal.smile(drawn.surface, drawn.quotes))
    assert shown.startswith("26JUN26  24.0 d")
    assert any("\u2801" <= character <= "\u28ff" for character in shown)
    assert "│" in "".join(line[10:] for line in shown.splitlines()[1:])


def test_a_chosen_expiry_is_drawn_or_refused_by_name(drawn):
    far = slices(drawn.surface)[-1]
    assert text(terminal.smile(drawn.surface, expiry_ts=far.expiry_ts)).startswith("25SEP26")
    (refused,) = [part for part in slices(drawn.surface) if not part.is_fitted]
    with pytest.raises(ValueError, match="no fit of 2026-06-12"):
        terminal.smile(drawn.surface, expiry_ts=refused.expiry_ts)


def test_the_terminal_does_not_pay_for_matplotlib():
    code = "import sys, vol_platform.plots.terminal; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
