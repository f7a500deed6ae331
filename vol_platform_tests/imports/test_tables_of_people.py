"""Rates and positions from files into the database, and into the record."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from vol_platform.derivations.contracts import DerivationContext
from vol_platform.errors import ImportFileError
from vol_platform.imports.tables_of_people import (
    read_positions,
    read_rates,
    write_positions,
    write_rates,
)
from vol_platform.record.frames import read_loaded
from vol_platform.settings import Settings
from vol_platform.store.client import connect

HOUR = datetime(2026, 2, 4, 15, tzinfo=UTC)
RATES_FILE = "rates.csv"
TREASURY = 'Date,"1 Mo","1.5 Month","6 Mo","10 Yr"\n02/03/2026,3.72,,3.60,4.1\n'
FRED = "observation_date,DGS1MO,DGS1\n2026-02-03,3.72,3.5\n2026-02-04,.,.\n"
MANUAL = "date,maturity_years,rate\n2026-02-03,0.25,0.03\n2026-02-03,1,0.035\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "file.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "kind", "first"),
    [
        (TREASURY, "treasury", (1 / 12, 0.0372)),
        (FRED, "treasury", (1 / 12, 0.0372)),
        (MANUAL, "zero", (0.25, 0.03)),
    ],
)
def test_three_kinds_of_rates_are_read(
    tmp_path: Path, text: str, kind: str, first: tuple[float, float]
) -> None:
    found = read_rates(written(tmp_path, text))
    row = found.row(0, named=True)
    assert row["curve_date"] == date(2026, 2, 3)
    assert (row["maturity_years"], row["quote"]) == pytest.approx(first)
    assert found["kind"].unique().to_list() == [kind]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no known kind of rates"),
        (MANUAL.replace("0.035", "3.5"), "a decimal within 50 %, was 3.5"),
        (MANUAL.replace("2026-02-03,1", "soon,1"), "was 'soon'"),
        (TREASURY.replace("3.60", "x"), "6 Mo must be a number, was 'x'"),
        ("date,maturity_years,rate\n", "holds no rate"),
    ],
)
def test_wrong_rates_are_refused_with_the_value(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ImportFileError, match=message):
        read_rates(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("portfolio,quantity\na,1\n", r"lacks the columns \['instrument_name'\]"),
        ("portfolio,instrument_name,quantity\na,X,much\n", "was 'much'"),
        ("portfolio,instrument_name,quantity\na,X,1\na,X,2\n", "X is twice in a"),
    ],
)
def test_wrong_positions_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ImportFileError, match=message):
        read_positions(written(tmp_path, text))


def test_the_record_reads_the_newest_curve_and_every_position(
    database: Settings, tmp_path: Path
) -> None:
    book = "portfolio,instrument_name,quantity\nbook,BTC-6FEB26-75000-C,-2.5\n"
    with connect(database) as client:
        assert write_rates(client, read_rates(written(tmp_path, TREASURY)), RATES_FILE) == 3
        again = TREASURY.replace("3.72", "3.80")
        write_rates(client, read_rates(written(tmp_path, again)), RATES_FILE)
        write_positions(client, read_positions(written(tmp_path, book)), HOUR - timedelta(days=3))
        write_positions(client, read_positions(written(tmp_path, book)), HOUR + timedelta(days=3))
        found = read_loaded(client, HOUR, DerivationContext())
        early = read_loaded(client, HOUR - timedelta(days=9), DerivationContext())
    assert found["rates"]["curve_date"].unique().to_list() == [date(2026, 2, 3)]
    assert found["rates"]["quote"].to_list() == pytest.approx([0.038, 0.036, 0.041])
    assert found["positions"]["quantity"].to_list() == [-2.5]
    assert early["rates"].is_empty()
    assert early["positions"].is_empty()


@pytest.mark.parametrize("read", [read_rates, read_positions])
def test_a_file_that_cannot_be_read_is_named_with_the_cure(tmp_path: Path, read) -> None:
    missing, latin, empty = (tmp_path / name for name in ("nowhere.csv", "latin.csv", "empty.csv"))
    latin.write_bytes("date,é".encode("latin-1"))
    empty.touch()
    for path, text in (
        (missing, f"file {missing} does not exist; check the path"),
        (tmp_path, f"{tmp_path} is a folder; name one CSV file"),
        (tmp_path / ("x" * 300), "cannot be read: file name too long; name a CSV file"),
        (latin, f"file {latin} is not UTF-8 text: byte 5 is 0xe9; save it as UTF-8"),
        (empty, f"file {empty} is not a CSV table: "),
    ):
        with pytest.raises(ImportFileError) as caught:
            read(path)
        assert text in str(caught.value)
        assert "Errno" not in str(caught.value)
        assert "\n" not in str(caught.value)
