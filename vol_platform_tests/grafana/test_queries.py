"""Every query of every panel runs on the engine and gives the columns its panel kind needs."""

import json
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from deploy.grafana.build import DASHBOARDS, rendered
from vol_platform.clock import utc_now
from vol_platform.live.blocks import live_blocks
from vol_platform.live.engine import Engine
from vol_platform.live.market import Market
from vol_platform.settings import QuoteSettings
from vol_platform.store.client import connect, insert_frame, query_frame
from vol_platform_tests.grafana.macros import UnknownMacroError, expand
from vol_platform_tests.live import boards
from vol_platform_tests.live.boards import Board

INTERVAL_SECONDS = 30
TEXT = {"String"}
TIMES = ("DateTime",)


def targets() -> list[Any]:
    """(dashboard, panel, target) of every query."""
    found = []
    for name in sorted(rendered()):
        dashboard = json.loads((DASHBOARDS / name).read_text(encoding="utf-8"))
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                label = f"{name}:{panel['title']}:{target['refId']}"
                found.append(pytest.param(panel, target, id=label))
    return found


def variables() -> list[Any]:
    dashboards = (json.loads((DASHBOARDS / name).read_text("utf-8")) for name in sorted(rendered()))
    return [
        pytest.param(variable, id=variable["name"])
        for dashboard in dashboards
        for variable in dashboard["templating"]["list"]
    ]


class Filled:
    """A database with a little of everything, and the time range that shows it."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.end = utc_now().replace(microsecond=0)
        self.start = self.end - timedelta(hours=1)
        self.at = self.end - timedelta(minutes=2)
        self.board = Board(start=self.at, strikes=9)
        self.expiry = self.board.expiry(self.board.names[-1])

    def expand(self, sql: str, currency: str = "BTC") -> str:
        chosen = {"currency": currency, "expiry": str(int(self.expiry.timestamp()))}
        return expand(sql, self.start, self.end, INTERVAL_SECONDS, chosen)

    def run(self, sql: str, currency: str = "BTC") -> tuple[dict[str, str], pl.DataFrame]:
        """Column types as the engine names them, and the rows."""
        with connect(self.settings) as client:
            expanded = self.expand(sql, currency)
            described = query_frame(client, f"DESCRIBE ({expanded})")
            types = dict(described.select("name", "type").iter_rows())
            return types, query_frame(client, expanded)


@pytest.fixture(scope="module")
def filled(store_server):
    from secrets import token_hex

    from vol_platform.store.migrate import migrate

    settings = store_server.settings(f"test_grafana_{token_hex(4)}")
    migrate(settings)
    made = Filled(settings)
    fill(made)
    yield made
    with connect(settings, database="default") as client:
        client.command(f"DROP DATABASE `{settings.clickhouse.database}` SYNC")


def fill(made: Filled) -> None:
    boards.store(made.settings, made.board, made.at)
    market = Market("BTC")
    market.apply_specifications(
        dict(zip(boards.SPECIFICATION_COLUMNS, row, strict=True))
        for row in made.board.specifications()
    )
    market.apply_quotes(boards.QUOTE_COLUMNS, made.board.quotes(made.at))
    computation = Engine(QuoteSettings()).compute(market)
    metrics = {"BTC": {"lag_from_exchange_p50_seconds": 0.1, "lag_from_received_p99_seconds": 0.2}}
    with connect(made.settings) as client:
        blocks = live_blocks(made.at + timedelta(seconds=1), [computation], metrics)
        for table, frame in blocks.items():
            insert_frame(client, table, frame)
        minute = made.at.replace(second=0)
        for table, name in (("surfaces", "surfaces"), ("options_greeks", "options_greeks")):
            record = computation.frames[name].with_columns(
                snapshot_ts=pl.lit(minute).cast(pl.Datetime("ms", "UTC")),
                code_version=pl.lit("1"),
                parameters_hash=pl.lit("0"),
            )
            insert_frame(client, table, record)
            # ETH has a record, but no live view.
            insert_frame(client, table, record.with_columns(currency=pl.lit("ETH")))
        for table, extra in (
            ("term_structure", {"atm_vol": [0.4, 0.41]}),
            ("skew_metrics", {"risk_reversal_25": [-0.05, -0.04], "butterfly_25": [0.01, 0.01]}),
        ):
            columns = {
                "snapshot_ts": [minute, minute],
                "currency": ["BTC", "BTC"],
                "expiry_years": [7 / 365, 30 / 365],
                "days": [7.0, 30.0],
                "is_constant_maturity": [True, True],
                "code_version": ["1", "1"],
                "parameters_hash": ["0", "0"],
            }
            insert_frame(client, table, pl.DataFrame(columns | extra))
        client.insert(
            "ingest_gaps",
            [("test-1", "*", made.at, made.end, "reconnect", "socket closed", "test", 1)],
            column_names=[
                *("gap_id", "channel", "from_ts", "to_ts", "cause", "detail"),
                *("collector", "version"),
            ],
        )
        client.insert(
            "dead_letters",
            [(made.at, "ticker.X", "malformed", "no JSON", "{", "test")],
            column_names=["received_ts", "channel", "reason", "detail", "raw", "collector"],
        )


def plain(kind: str) -> str:
    for wrapper in ("LowCardinality(", "Nullable("):
        if kind.startswith(wrapper):
            kind = kind.removeprefix(wrapper).removesuffix(")")
    return kind


def is_number(kind: str) -> bool:
    return plain(kind).startswith(("Float", "Int", "UInt", "Decimal"))


@pytest.mark.parametrize(("panel", "target"), targets())
def test_a_panels_query_runs_and_fits_its_kind(filled, panel, target):
    types, rows = filled.run(target["rawSql"])
    assert rows.height > 0, "the fixture has rows for every panel"
    names = list(types)
    if panel["type"] == "timeseries":
        assert names[0] == "time"
        assert plain(types["time"]).startswith(TIMES)
        values = names[1:]
        if plain(types[names[1]]) in TEXT:
            assert len(names) == 3, "several series are time, label, value"
            values = names[2:]
        assert values
        assert all(is_number(types[name]) for name in values)
        assert rows["time"].is_sorted()
    elif panel["type"] == "xychart":
        wanted = {
            series[axis]["matcher"]["options"]
            for series in panel["options"]["series"]
            for axis in ("x", "y")
            if panel["targets"][series["frame"]["matcher"]["options"]] == target
        }
        assert wanted == set(names)
        assert all(is_number(kind) for kind in types.values())
        x = panel["options"]["series"][0]["x"]["matcher"]["options"]
        assert rows[x].is_sorted()
        assert rows.height > 2
    elif panel["type"] == "stat":
        shown = panel["options"]["reduceOptions"]["fields"].strip("/^$")
        assert is_number(types[shown])
        assert rows.height == 1
        assert rows[shown].null_count() == 0
    else:
        assert panel["type"] == "table"
        overridden = {
            override["matcher"]["options"]
            for override in panel["fieldConfig"]["overrides"]
            if override["matcher"]["id"] == "byName"
        }
        assert overridden <= set(names), "an override of a column that is not there"


@pytest.mark.parametrize("variable", variables())
def test_a_variables_query_offers_choices(filled, variable):
    _, rows = filled.run(variable["query"]["rawSql"])
    assert rows.height == {"currency": 2, "expiry": len(filled.board.days)}[variable["name"]]


def panel_rows(
    filled: Filled, title: str, ref_id: str = "A", currency: str = "BTC"
) -> pl.DataFrame:
    for parameter in targets():
        panel, target = parameter.values
        if (panel["title"], target["refId"]) == (title, ref_id):
            return filled.run(target["rawSql"], currency)[1]
    raise AssertionError(f"no panel is called {title}")


def test_the_smile_panel_shows_the_fit_inside_its_quotes(filled):
    fit, quotes = panel_rows(filled, "Smile"), panel_rows(filled, "Smile", "B")
    joined = fit.with_columns(pl.col("log_moneyness").round(9)).join(
        quotes.with_columns(pl.col("log_moneyness").round(9)), on="log_moneyness"
    )
    assert joined.height == fit.height
    assert joined.select(
        ((pl.col("bid") < pl.col("fit")) & (pl.col("fit") < pl.col("ask"))).all()
    ).item()


def test_the_surface_table_shows_the_vol_at_each_delta(filled):
    rows = panel_rows(filled, "Surface")
    assert rows.height == len(filled.board.days)
    assert rows["ATM"].to_list() == pytest.approx([0.4] * rows.height, abs=2e-3)
    for wing, middle in (("10P", "25P"), ("10C", "25C")):
        assert (rows[wing] > rows[middle]).all(), "the board's smile rises towards both wings"
    assert rows["status"].to_list() == ["ok"] * rows.height


def test_while_the_live_view_is_away_the_record_is_shown(filled):
    assert panel_rows(filled, "Term structure", currency="ETH").height == len(filled.board.days)


def test_an_unknown_macro_does_not_pass_unseen():
    with pytest.raises(UnknownMacroError, match="__timeFliter"):
        expand("SELECT $__timeFliter(x)", boards.START, boards.START, 1, {})
