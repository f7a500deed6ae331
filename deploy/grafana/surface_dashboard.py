"""The dashboard "Volatility surface": now, its history, and the data it stands on."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.models import dashboard

from deploy.grafana import panels, queries
from deploy.grafana.clickhouse import DATASOURCE

__all__ = ["surface_dashboard"]


def surface_dashboard() -> dashboard.Dashboard:
    """Build the dashboard."""
    built = (
        dashboard_builders.Dashboard("Volatility surface")
        .uid("vol-surface")
        .description("Newest surface, its history, and the state of the data behind it.")
        .tags(["vol-platform"])
        .timezone("utc")
        .readonly()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .time("now-6h", "now")
        .refresh("10s")
        .with_variable(_variable("currency", "Market", queries.CURRENCIES))
        .with_variable(_variable("expiry", "Expiry", queries.EXPIRIES))
    )
    for panel in _now():
        built = built.with_panel(panel)
    built = built.with_row(panels.row("History"))
    for panel in _history():
        built = built.with_panel(panel)
    built = built.with_row(panels.row("Data quality"))
    for panel in _data_quality():
        built = built.with_panel(panel)
    result = built.build()
    for number, panel in enumerate(result.panels or [], start=1):
        panel.id_val = number
    return result


def _variable(name: str, label: str, sql: str) -> Any:
    return (
        dashboard_builders.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"editorType": "sql", "rawSql": sql})
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(multi=False)
        .include_all(include_all=False)
    )


def _now() -> list[Any]:
    number = panels.single_number
    return [
        number(
            "Age of the surface",
            "Time since the newest exchange timestamp in it.",
            queries.SURFACE_AGE,
            "age",
            "s",
            ((None, "green"), (60.0, "orange"), (180.0, "red")),
            width=6,
        ),
        number(
            "Expiries with a sound fit",
            "Status ok or repaired (repaired: blended until every arbitrage check passed).",
            queries.SURFACE_AGE,
            "sound",
            "none",
            ((None, "red"), (1.0, "orange"), (4.0, "green")),
            width=6,
        ),
        number(
            "Refused expiries",
            "Expiries without a surface; the table says why.",
            queries.SURFACE_AGE,
            "refused",
            "none",
            ((None, "green"), (2.0, "orange"), (4.0, "red")),
            width=6,
        ),
        number(
            "Quotes inside bid–ask",
            "Share of two-sided out-of-the-money quotes whose bid and ask contain the fit.",
            queries.SURFACE_AGE,
            "in_spread",
            "percentunit",
            ((None, "red"), (0.8, "orange"), (0.92, "green")),
            width=6,
        ),
        panels.heat_table(
            "Surface",
            "Fitted volatility per expiry and forward delta, between listed strikes by a straight "
            "line; fit quality and status beside it.",
            queries.SURFACE_TABLE,
            heat="/^(ATM|[0-9]+[PC])$/",
            properties={
                "days": {"unit": "d", "decimals": 1},
                "forward": {"unit": "currencyUSD", "decimals": 0},
                "rmse": {"unit": "percentunit", "decimals": 2},
                "in_spread": {"unit": "percentunit", "decimals": 0},
            },
            width=24,
            height=12,
        ),
        panels.curve(
            "Smile",
            "Fit of the chosen expiry at the listed strikes and its newest out-of-the-money quotes "
            "(the exchange's bid and ask volatilities).",
            [
                (queries.FIT, "log_moneyness", [("fit", "lines")]),
                (queries.QUOTES, "log_moneyness", [("bid", "points"), ("ask", "points")]),
            ],
            x_label="k = ln(strike / forward)",
            unit="percentunit",
            width=12,
        ),
        panels.curve(
            "Term structure",
            "At-the-money volatility by days to expiry, with its error bar.",
            [
                (
                    queries.TERM_STRUCTURE,
                    "days",
                    [("atm_vol", "points+lines"), ("low", "lines"), ("high", "lines")],
                )
            ],
            x_label="days to expiry",
            unit="percentunit",
            width=12,
        ),
    ]


def _history() -> list[Any]:
    return [
        panels.time_series(
            "At-the-money volatility, constant maturity",
            "From the record, minute by minute.",
            queries.ATM_HISTORY,
            "percentunit",
            width=12,
        ),
        panels.time_series(
            "Risk reversal and butterfly, 30 days",
            "25-delta, forward delta without premium adjustment; call minus put.",
            queries.SKEW_HISTORY,
            "percentunit",
            width=12,
        ),
    ]


def _data_quality() -> list[Any]:
    return [
        panels.time_series(
            "Ingestion rate",
            "Rows per second by table, at the time they were received.",
            queries.INGESTION_RATE,
            "rowsps",
            width=8,
        ),
        panels.time_series(
            "Lag: exchange to collector",
            "Receive time minus the exchange's timestamp, streamed option quotes only.",
            queries.WIRE_LAG,
            "s",
            width=8,
        ),
        panels.time_series(
            "Lag: exchange and receipt to live surface",
            "Published by the live view, p50 and p99 over the last minute.",
            queries.LIVE_LAG,
            "s",
            width=8,
        ),
        panels.plain_table(
            "Gaps",
            "Intervals in which data may be missing; an open gap has no end yet.",
            queries.GAPS,
            {"seconds": "s"},
            width=16,
        ),
        panels.time_series(
            "Dead letters",
            "Messages that could not be stored, kept byte for byte in table dead_letters.",
            queries.DEAD_LETTERS,
            "short",
            width=8,
        ),
    ]
