"""Panel builders with the house's manners: datasource, size, unit and an explanation each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.builders import stat, table, timeseries, xychart
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models import xychart as xychart_models

from deploy.grafana.clickhouse import DATASOURCE, query

__all__ = ["curve", "heat_table", "plain_table", "row", "single_number", "time_series"]

Properties = Mapping[str, Any]


def row(title: str) -> Any:
    """Start a row of panels."""
    return dashboard_builders.Row(title)


def _dressed(panel: Any, title: str, description: str, width: int, height: int) -> Any:
    return (
        panel.title(title)
        .description(description)
        .datasource(DATASOURCE)
        .span(width)
        .height(height)
    )


def _override(panel: Any, name: str, properties: Properties) -> Any:
    values = [dashboard.DynamicConfigValue(id_val=key, value=v) for key, v in properties.items()]
    return panel.override_by_name(name, values)


def _thresholds(steps: Sequence[tuple[float | None, str]]) -> Any:
    marks = [dashboard.Threshold(value=value, color=colour) for value, colour in steps]
    return (
        dashboard_builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(marks)
    )


def single_number(
    title: str,
    description: str,
    sql: str,
    field: str,
    unit: str,
    steps: Sequence[tuple[float | None, str]],
    *,
    width: int,
) -> Any:
    """One figure in the colour of its threshold; `field` is the column of `sql` to show."""
    panel = _dressed(stat.Panel(), title, description, width, 4)
    return (
        panel.with_target(query(sql, "table"))
        .unit(unit)
        .thresholds(_thresholds(steps))
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(
            common_builders.ReduceDataOptions().calcs(["lastNotNull"]).fields(f"/^{field}$/")
        )
    )


def time_series(
    title: str, description: str, sql: str, unit: str, *, width: int, height: int = 8
) -> Any:
    """Lines over time."""
    panel = _dressed(timeseries.Panel(), title, description, width, height)
    return (
        panel.with_target(query(sql, "timeseries"))
        .unit(unit)
        .line_width(1)
        .fill_opacity(0)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    )


def plain_table(
    title: str, description: str, sql: str, units: Mapping[str, str], *, width: int, height: int = 8
) -> Any:
    """Rows as they are; `units` by column."""
    panel = _dressed(table.Panel(), title, description, width, height)
    panel = panel.with_target(query(sql, "table")).unit("none")
    for name, unit in units.items():
        panel = _override(panel, name, {"unit": unit})
    return panel


def heat_table(
    title: str,
    description: str,
    sql: str,
    *,
    heat: str,
    properties: Mapping[str, Properties],
    width: int,
    height: int,
) -> Any:
    """Rows whose cells carry the colour of their value; `heat` is a pattern of column names."""
    panel = _dressed(table.Panel(), title, description, width, height)
    coloured = {
        "unit": "percentunit",
        "decimals": 1,
        "color": {"mode": "continuous-BlPu"},
        "custom.cellOptions": {"type": "color-background", "mode": "basic"},
    }
    values = [dashboard.DynamicConfigValue(id_val=key, value=v) for key, v in coloured.items()]
    panel = panel.with_target(query(sql, "table")).unit("none").override_by_regexp(heat, values)
    for name, changes in properties.items():
        panel = _override(panel, name, changes)
    return panel


def curve(
    title: str,
    description: str,
    queries: Sequence[tuple[str, str, Sequence[tuple[str, str]]]],
    *,
    x_label: str,
    unit: str,
    width: int,
    height: int = 10,
) -> Any:
    """Y against X.

    `queries` holds (SQL, name of its x column, ((y column, "lines" or "points"), …)).
    """
    panel = _dressed(xychart.Panel(), title, description, width, height)
    panel = panel.unit(unit).mapping(xychart_models.SeriesMapping.MANUAL)
    series = []
    for number, (sql, x, columns) in enumerate(queries):
        panel = panel.with_target(query(sql, "table", ref_id=chr(ord("A") + number)))
        panel = _override(panel, x, {"unit": "none", "custom.axisLabel": x_label})
        for y, show in columns:
            panel = _override(panel, y, {"custom.show": show})
            series.append(_series(number, x, y))
    return panel.series(series)


def _series(frame: int, x: str, y: str) -> Any:
    def matcher(kind: str, value: object) -> Any:
        return xychart.MatcherConfig().id(kind).options(value)

    return (
        xychart.XYSeriesConfig()
        .name(xychart.XychartXYSeriesConfigName().fixed(y))
        .frame(xychart.XychartXYSeriesConfigFrame().matcher(matcher("byIndex", frame)))
        .x(xychart.XychartXYSeriesConfigX().matcher(matcher("byName", x)))
        .y(xychart.XychartXYSeriesConfigY().matcher(matcher("byName", y)))
    )
