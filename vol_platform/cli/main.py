"""Entry point of `vol`: the groups of commands, and one clear line for every error of ours."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vol_platform.cli import backup, data, loads, models, services, stack, validate, views
from vol_platform.errors import VolError
from vol_platform.quant.errors import QuantError

__all__ = ["app"]


class _OneLineErrors(TyperGroup):
    """A `VolError` is one line on standard error that names the cure, and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; with ``--debug`` an error keeps its traceback."""
        try:
            return super().invoke(ctx)
        except (VolError, QuantError) as error:
            if ctx.params.get("debug"):
                raise
            print(f"vol: {' '.join(str(error).split())}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The open options-volatility platform for Deribit: from wire to arbitrage-free surface.",
)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        from vol_platform import __version__

        print(f"vol-platform {__version__}")
        raise typer.Exit


Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Version = Annotated[
    bool,
    typer.Option(
        "--version",
        help="Show the version.",
        callback=lambda value: _print_version(wanted=value),
        is_eager=True,
    ),
]


@app.callback()
def main(
    debug: Debug = False,  # noqa: ARG001 - _OneLineErrors reads it
    version: Version = False,  # noqa: ARG001 - its callback acts
) -> None:
    """Hold the options that stand before the command's name."""
    # The driver logs what it also raises; a user needs it once.
    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


stack.register(app)
views.register(app)
data.register(app)
loads.register(app)
backup.register(app)
models.register(app)
validate.register(app)
services.register(app)

if __name__ == "__main__":
    app()
