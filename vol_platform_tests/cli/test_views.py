"""What the commands that show data print: units that are those of the numbers, short refusals."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from vol_platform.cli.greeks_table import UNITS
from vol_platform.derivations.greeks.options import GREEKS_COLUMNS
from vol_platform.quant import black76
from vol_platform.quant.greeks import coin_greeks, greeks, sticky_moneyness_delta
from vol_platform.settings import Settings
from vol_platform.store.client import connect, insert_frame
from vol_platform_tests.cli.test_commands import one_line, vol

FORWARD, STRIKE, DAYS, POINTS = 60_000.0, 66_000.0, 30.0, 50.0
NAME = "BTC-26JUN26-66000-C"
NOW = datetime(2026, 5, 27, 8, tzinfo=UTC)


@pytest.fixture
def where(database: Settings) -> dict[str, str]:
    """Return the variables that point `vol` at the database."""
    clickhouse = database.clickhouse
    return {
        "VOL_CLICKHOUSE__PORT": str(clickhouse.port),
        "VOL_CLICKHOUSE__DATABASE": clickhouse.database,
    }


def price(forward: float = FORWARD, points: float = POINTS, days: float = DAYS) -> float:
    """Value of the option, USD: by volatility in points, by days to expiry."""
    return black76.price(forward, STRIKE, days / 365, points / 100, True).item()


def store_option(database: Settings, name: str, market: str, **changes: object) -> None:
    """Store what the record holds of the option."""
    state = (FORWARD, STRIKE, DAYS / 365, POINTS / 100, True)
    usd = {key: value.item() for key, value in greeks(*state)._asdict().items()}
    usd.pop("dual_delta")
    row = {
        "snapshot_ts": NOW,
        "currency": market,
        "expiry_ts": NOW + timedelta(days=DAYS),
        "expiry_years": DAYS / 365,
        "instrument_name": name,
        "strike": STRIKE,
        "is_call": True,
        "forward": FORWARD,
        "vol": POINTS / 100,
        "vol_source": "surface",
        "price_usd": price(),
        "price_coin": price() / FORWARD,
        **usd,
        "delta_coin": coin_greeks(*state).delta_coin.item(),
        "delta_sticky_moneyness": sticky_moneyness_delta(
            usd["delta"], usd["vega"], FORWARD, -0.1
        ).item(),
        "mark_iv": 0.51,
        "mark_price": 0.0231,
        "open_interest": 1234.5,
        **changes,
    }
    with connect(database) as client:
        insert_frame(client, "options_greeks", pl.DataFrame([row], schema=GREEKS_COLUMNS))


def shown(text: str) -> dict[str, tuple[str, str]]:
    """Return value and unit of each line, by name."""
    found = {}
    for line in text.splitlines()[1:]:
        name, _, cell = line.strip().partition(" ")
        value, _, unit = cell.strip().partition(" ")
        found[name] = (value, unit)
    return found


def test_prices_volatilities_and_deltas_carry_their_units(
    tmp_path: Path, database: Settings, where: dict[str, str]
) -> None:
    store_option(database, NAME, "BTC")
    text = vol(tmp_path, "greeks", NAME.lower(), **where).stdout
    assert text.splitlines()[0].strip() == f"{NAME} (record), greeks of an option on 1 BTC"
    found = shown(text)
    assert found["vol"] == ("50", "%")
    assert found["mark_iv"] == ("51", "%")
    assert found["forward"] == ("60,000.00", "USD")
    assert found["price_usd"] == (f"{price():,.2f}", "USD")
    assert found["price_coin"] == (f"{price() / FORWARD:.6g}", "BTC")
    assert found["mark_price"] == ("0.0231", "BTC")
    assert found["open_interest"] == ("1,234.50", "BTC")
    assert found["delta"] == ("0.276515", "BTC per BTC")
    assert found["delta_coin"][1] == "BTC per BTC, premium-adjusted"
    assert found["snapshot_ts"] == ("2026-05-27", "08:00:00 UTC")
    assert found["type"] == ("call", "")


def slope(function: Callable[[float], float], at: float, step: float) -> float:
    return (function(at + step) - function(at - step)) / (2 * step)


def by_forward(function: Callable[..., float], **fixed: float) -> float:
    return slope(lambda x: function(**{**fixed, "forward": x}), fixed.get("forward", FORWARD), 30.0)


def by_point(function: Callable[..., float], **fixed: float) -> float:
    return slope(lambda x: function(**{**fixed, "points": x}), fixed.get("points", POINTS), 0.05)


def by_day(function: Callable[..., float], **fixed: float) -> float:
    """As time passes: the days to expiry grow fewer."""
    return -slope(lambda x: function(**{**fixed, "days": x}), fixed.get("days", DAYS), 0.02)


def delta(**state: float) -> float:
    return by_forward(price, **state)


def gamma(**state: float) -> float:
    return by_forward(delta, **state)


def vega(**state: float) -> float:
    return by_point(price, **state)


def volga(**state: float) -> float:
    return by_point(vega, **state)


def test_each_greek_is_what_the_price_does_in_the_unit_beside_it(
    tmp_path: Path, database: Settings, where: dict[str, str]
) -> None:
    """The price alone is moved: by dollars, by volatility points, by days."""
    store_option(database, NAME, "BTC")
    found = shown(vol(tmp_path, "greeks", NAME, **where).stdout)
    for name, unit, value in (
        ("delta", "BTC per BTC", delta()),
        ("gamma", "delta per USD", gamma()),
        ("vega", "USD per vol point", vega()),
        ("theta", "USD per day", by_day(price)),
        ("vanna", "delta per vol point", by_point(delta)),
        ("volga", "USD per vol point squared", volga()),
        ("charm", "delta per day", by_day(delta)),
        ("veta", "USD per vol point, per day", by_day(vega)),
        ("speed", "gamma per USD", by_forward(gamma)),
        ("zomma", "gamma per vol point", by_point(gamma)),
        ("color", "gamma per day", by_day(gamma)),
        ("ultima", "USD per vol point cubed", by_point(volga)),
    ):
        number, beside = found[name]
        assert beside == unit, name
        assert float(number.replace(",", "")) == pytest.approx(value, rel=2e-3), name
    # One per cent of rate moves the forward by T per cent and takes T per cent off the value:
    # spot held fixed, dV/dr = T (F delta - V).
    expected = DAYS / 365 * (FORWARD * delta() - price()) / 100
    assert found["rho"][1] == "USD per 1 % of rate"
    assert float(found["rho"][0]) == pytest.approx(expected, rel=1e-4)


def test_every_number_of_the_table_has_a_unit() -> None:
    numbers = {name for name, dtype in GREEKS_COLUMNS.items() if dtype == pl.Float64}
    assert numbers == set(UNITS)


def test_a_linear_option_is_paid_in_its_own_currency_and_what_is_unknown_is_a_dash(
    tmp_path: Path, database: Settings, where: dict[str, str]
) -> None:
    name = "XRP_USDC-26JUN26-1d02-C"
    store_option(database, name, "XRP_USDC", mark_price=0.0512, vega=None)
    found = shown(vol(tmp_path, "greeks", name, **where).stdout)
    assert found["mark_price"] == ("0.0512", "USDC")
    assert found["open_interest"] == ("1,234.50", "XRP")
    assert found["delta"][1] == "XRP per XRP"
    assert found["vega"] == ("—", "")


def test_a_wrong_statement_is_told_without_the_list_of_all_that_may_stand_there(
    tmp_path: Path, where: dict[str, str]
) -> None:
    line = one_line(vol(tmp_path, "sql", "SELECT 1 FROM options_quotes WHER 2 LIMIT 1", **where))
    assert "Code: 62. DB::Exception: Syntax error: failed at position 35 (2)" in line
    assert "2 LIMIT 1. Expected one of: " in line
    assert line.endswith(", …. (SYNTAX_ERROR)\n")
    assert len(line) < 300
    assert "http" not in line


@pytest.mark.parametrize(
    ("statement", "useful"),
    [
        ("SELECT price_uds FROM options_greeks", "`price_uds`. Maybe you meant: ['price_usd']."),
        ("SELECT * FROM option_quotes", "Maybe you meant"),
        ("SELECT count() FROM trades GROUP trade_id", "(trade_id): trade_id. Expected one of: BY,"),
        ("SELECT count( FROM trades", "Unmatched parentheses: '(' at position 13"),
        (
            "SELECT throwIf(1, 'Expected one of: a, b, c, d, e, f, g, h')",
            ": a, b, c, d, e, f, g, h",
        ),
    ],
)
def test_nothing_useful_of_a_refusal_goes(
    tmp_path: Path, where: dict[str, str], statement: str, useful: str
) -> None:
    line = one_line(vol(tmp_path, "sql", statement, **where))
    assert useful in line
    assert re.search(r"Code: \d+\. DB::Exception: .*\([A-Z_]+\)$", line.strip())
    assert "…" not in line


def test_an_unfinished_statement_is_not_finished_by_the_format(
    tmp_path: Path, where: dict[str, str]
) -> None:
    line = one_line(vol(tmp_path, "sql", "SELECT 1 FROM", **where))
    assert "failed at position 14 (end of query)" in line
    assert "FORMAT" not in line


def test_a_statement_may_name_its_own_format(tmp_path: Path, where: dict[str, str]) -> None:
    for arguments in (
        ("SELECT 42 AS a FORMAT CSVWithNames",),
        ("SELECT 42 AS a", "-f", "CSVWithNames"),
    ):
        assert vol(tmp_path, "sql", *arguments, **where).stdout == '"a"\n42\n'


def test_a_file_that_is_not_there_is_one_line_with_the_cure_whether_or_not_a_store_runs(
    tmp_path: Path,
) -> None:
    for command in ("rates", "positions"):
        line = one_line(vol(tmp_path, command, "nowhere.csv", VOL_CLICKHOUSE__PORT="1"))
        assert line == (
            "vol: file nowhere.csv does not exist; check the path and name an existing CSV file\n"
        )


def test_help_of_the_live_view_is_shown_and_nothing_is_started(tmp_path: Path) -> None:
    result = vol(tmp_path, "live", "--help")
    assert result.returncode == 0
    assert "Run the live view until Ctrl-C" in result.stdout
