"""Write the dashboards as JSON: ``python -m deploy.grafana.build`` (``make dashboards``)."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.surface_dashboard import surface_dashboard

__all__ = ["DASHBOARDS", "main", "rendered"]

DASHBOARDS = Path(__file__).parent / "dashboards"


def rendered() -> dict[str, str]:
    """Return the text of every dashboard file by its name."""
    dashboards = {"surface.json": surface_dashboard()}
    return {
        name: json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
        + "\n"
        for name, built in dashboards.items()
    }


def main() -> None:
    """Write every dashboard file."""
    DASHBOARDS.mkdir(exist_ok=True)
    for name, text in rendered().items():
        (DASHBOARDS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
