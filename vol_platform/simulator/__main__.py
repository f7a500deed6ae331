"""``python -m vol_platform.simulator``: run an exchange, or write its history."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from vol_platform.errors import VolError
from vol_platform.simulator.exchange import Exchange
from vol_platform.simulator.options import ExchangeOptions, make_options

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vol_platform.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default="0", help="0 takes a free port")
    parser.add_argument("--seed", default="7")
    parser.add_argument("--currencies", default="BTC", help="BTC, or BTC,ETH")
    parser.add_argument("--start", help="simulated start, ISO 8601 with zone; default now")
    parser.add_argument("--speed", default="1", help="simulated seconds per real second")
    parser.add_argument("--rate", default="1", help="multiplies how often quotes change")
    parser.add_argument("--no-credits", action="store_true", help="do not enforce call credits")
    return parser


def _serve_options(arguments: argparse.Namespace) -> ExchangeOptions:
    return make_options(
        host=arguments.host,
        port=arguments.port,
        seed=arguments.seed,
        currencies=tuple(arguments.currencies.split(",")),
        start=arguments.start,
        speed=arguments.speed,
        rate=arguments.rate,
        enforce_credits=not arguments.no_credits,
    )


async def _serve(options: ExchangeOptions) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with Exchange(options) as exchange:
        sys.stdout.write(f"simulator ready on {exchange.websocket_url} and {exchange.rest_url}\n")
        sys.stdout.flush()
        await stopped.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    try:
        asyncio.run(_serve(_serve_options(_parser().parse_args(arguments))))
    except VolError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
