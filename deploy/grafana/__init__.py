"""Grafana as code: `python -m deploy.grafana.build` writes the dashboards committed here."""
