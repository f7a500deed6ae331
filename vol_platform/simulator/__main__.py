"""Run a simulated exchange, or write its history.

python -m vol_platform.simulator [--port N …]          serve
python -m vol_platform.simulator history [--hours H …]  write history as a capture
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from vol_platform.clock import monotonic_seconds, utc_now
from vol_platform.errors import SettingsError, VolError
from vol_platform.simulator.exchange.exchange import Exchange
from vol_platform.simulator.exchange.options import ChaosOptions, ExchangeOptions, make_options
from vol_platform.simulator.history import make_history_options, write_history

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """Raises instead of printing the usage, so that a wrong option is one line."""

    def error(self, message: str) -> NoReturn:
        msg = f"{message}; see {self.prog} --help"
        raise SettingsError(msg)


def _serve_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m vol_platform.simulator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", default="0", help="0 takes a free port (default)")
    add("--seed", default="7", help="same seed and start, same messages (default 7)")
    add("--currencies", default="BTC", help="BTC (default) or BTC,ETH")
    add("--start", help="simulated start, ISO 8601 with zone (default now)")
    add("--speed", default="1", help="simulated seconds per real second; capture: 0 is unpaced")
    add("--rate", default="1", help="multiplies how often quotes change (default 1)")
    add("--capture", type=Path, help="play this capture instead of the simulated market")
    add("--capture-all", action="store_true", help="send every frame to whoever subscribes")
    add("--capture-end", default="hold", help="hold (default) or close, when it is finished")
    add("--capture-plays", default="1", help="how many connections get the capture (default 1)")
    add("--oracle-log", type=Path, help="write what was sent as JSON lines")
    add("--no-credits", action="store_true", help="do not enforce call credits")
    faults = parser.add_argument_group("faults")
    for name, field in ChaosOptions.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        if field.annotation is bool:
            faults.add_argument(flag, action="store_true")
        elif field.annotation is int or name == "handshake_status":
            faults.add_argument(flag, type=int, default=0, metavar="NUMBER")
        elif field.annotation is float:
            faults.add_argument(flag, default="0", metavar="SHARE")
        else:
            faults.add_argument(flag, default="", metavar="TEXT,TEXT")
    return parser


def _serve_options(arguments: argparse.Namespace) -> ExchangeOptions:
    values = vars(arguments)
    chaos = {name: values.pop(name) for name in ChaosOptions.model_fields}
    for name in ("refuse_channels", "lose_channels", "only_channels"):
        chaos[name] = tuple(filter(None, chaos[name].split(",")))
    values["enforce_credits"] = not values.pop("no_credits")
    values["currencies"] = tuple(values["currencies"].split(","))
    return make_options(**values, chaos=chaos)


async def _serve(options: ExchangeOptions) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with Exchange(options) as exchange:
        _say(f"simulator ready on {exchange.websocket_url} and {exchange.rest_url}")
        if exchange.playback is not None:
            waits = {
                asyncio.create_task(exchange.playback.finished.wait()),
                asyncio.create_task(stopped.wait()),
            }
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in waits:
                task.cancel()
            if exchange.playback.finished.is_set():
                _say(f"capture finished: {exchange.playback.sent} frames sent")
        await stopped.wait()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _history_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m vol_platform.simulator history")
    add = parser.add_argument
    add("--hours", type=float, default=3.0, help="length of the window (default 3)")
    add("--end", help="end of the window, ISO 8601 with zone (default now)")
    add("--seconds-between-ticks", type=float, default=60.0, help="per instrument (default 60)")
    add("--seed", type=int, default=7)
    add("--currency", default="BTC", help="BTC (default) or ETH")
    add("--output", default="-", help="a path (.gz and .zst compress) or - for stdout (default)")
    return parser


def _history(arguments: argparse.Namespace) -> None:
    try:
        end = utc_now() if arguments.end is None else datetime.fromisoformat(arguments.end)
    except ValueError:
        msg = f"--end must be ISO 8601 such as 2026-06-01T12:00:00Z, was {arguments.end!r}"
        raise SettingsError(msg) from None
    options = make_history_options(
        end, arguments.hours, arguments.seconds_between_ticks, arguments.seed, arguments.currency
    )
    began = monotonic_seconds()
    frames = write_history(options, arguments.output)
    seconds = monotonic_seconds() - began
    pace = frames / max(seconds, 1e-9)
    sys.stderr.write(f"history finished: {frames} frames in {seconds:.1f} s ({pace:,.0f}/s)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given and given[0] == "history":
            _history(_history_parser().parse_args(given[1:]))
        else:
            asyncio.run(_serve(_serve_options(_serve_parser().parse_args(given))))
    except VolError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
