"""The query of ClickHouse's Grafana plugin, for the foundation SDK, which has no builder of it."""

from __future__ import annotations

from typing import Any, Literal

from grafana_foundation_sdk.cog import builder, variants
from grafana_foundation_sdk.models import dashboard

__all__ = ["DATASOURCE", "DATASOURCE_TYPE", "DATASOURCE_UID", "ClickHouseQuery", "query"]

DATASOURCE_TYPE = "grafana-clickhouse-datasource"
DATASOURCE_UID = "vol-clickhouse"
"""Also in provisioning/datasources/clickhouse.yaml."""

DATASOURCE = dashboard.DataSourceRef(type_val=DATASOURCE_TYPE, uid=DATASOURCE_UID)

_PLUGIN_VERSION = "4.20.0"
_FORMATS = {"timeseries": 0, "table": 1}


class ClickHouseQuery(variants.Dataquery):
    """One target of a panel: SQL as written, and how the plugin shall read the result."""

    def __init__(self, sql: str, kind: Literal["timeseries", "table"], ref_id: str) -> None:
        self.sql = sql
        self.kind = kind
        self.ref_id = ref_id

    def to_json(self) -> dict[str, Any]:
        """Return what Grafana saves for a query of the plugin's SQL editor."""
        return {
            "datasource": DATASOURCE,
            "editorType": "sql",
            "format": _FORMATS[self.kind],
            "pluginVersion": _PLUGIN_VERSION,
            "queryType": self.kind,
            "rawSql": self.sql,
            "refId": self.ref_id,
        }


class _QueryBuilder(builder.Builder[variants.Dataquery]):
    def __init__(self, built: ClickHouseQuery) -> None:
        self._built = built

    def build(self) -> variants.Dataquery:
        return self._built


def query(sql: str, kind: Literal["timeseries", "table"], ref_id: str = "A") -> _QueryBuilder:
    """Wrap SQL for a panel builder's `with_target`."""
    return _QueryBuilder(ClickHouseQuery(sql, kind, ref_id))
