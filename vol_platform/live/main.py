"""Run the live view: ``python -m vol_platform.live``; SIGTERM and SIGINT stop it cleanly."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

import structlog

from vol_platform.errors import VolError
from vol_platform.live.view import LiveView
from vol_platform.quant import warm_up
from vol_platform.settings import load_settings

__all__ = ["main"]

_log = structlog.get_logger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal; return 0, or 1 with one clear line when the settings are wrong."""
    argparse.ArgumentParser(
        prog="python -m vol_platform.live",
        description="Keep the newest surface and greeks in Redis and in the live_ tables until "
        "SIGINT or SIGTERM. Everything is set by vol.yaml or VOL_… variables; docs/redis.md "
        "says what it writes.",
    ).parse_args(arguments)
    try:
        settings = load_settings()
    except VolError as error:
        _log.error("the live view cannot start", reason=str(error))
        return 1
    for name in ("clickhouse_connect", "urllib3"):
        # They log every refused connection; we say once that ClickHouse is away.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    stop = threading.Event()

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's shape
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    warm_up()
    _log.info("live view starts", database=settings.clickhouse.database)
    LiveView(settings).run(stop)
    _log.info("live view has stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
