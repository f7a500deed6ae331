"""Commands that bring data in: replay."""

from __future__ import annotations

import typer

__all__ = ["register"]

_PANEL = "Data in and out"


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
