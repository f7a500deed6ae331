"""The ``vol-streamer`` command."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from streamer.captures.capture import channels_of_capture, read_capture
from streamer.captures.ingest import Accounting, ingest_messages
from streamer.captures.recorder import CaptureFile, Recorder, export_archive
from streamer.clock import SYSTEM_CLOCK
from streamer.collector import Collector
from streamer.errors import CaptureError, StreamerError
from streamer.history.command import history
from streamer.log import configure
from streamer.process import tune_process
from streamer.settings import StreamerSettings, load_settings

__all__ = ["app", "main"]


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(history, name="history")

_SpoolOption = Annotated[
    Path | None,
    typer.Option(
        "--spool-directory",
        help="Where segments are kept until stored. "
        "Default: VOL_STREAMER_SPOOL_DIRECTORY, else .vol/spool.",
    ),
]
_WebsocketOption = Annotated[
    str | None,
    typer.Option(
        help="WebSocket of the exchange. Default: VOL_STREAMER_WEBSOCKET_URL, else the real one."
    ),
]
_RestOption = Annotated[
    str | None,
    typer.Option(
        help="REST address of the exchange. Default: VOL_STREAMER_REST_URL, else the real one."
    ),
]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print the accounting as JSON.")]
_LogOption = Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")]


@app.callback()
def _command() -> None:
    """Collect Deribit's market data into ClickHouse; lose nothing and say so."""


@app.command()
def run(
    channels: Annotated[
        str | None,
        typer.Option(
            help="Exactly these channels, separated by commas; or a file with one a line; or a "
            "capture, whose channels are taken. Default: the instruments of "
            "VOL_STREAMER_CURRENCIES, else of BTC."
        ),
    ] = None,
    all_offered: Annotated[
        bool,
        typer.Option(
            "--all-offered", help="Every instrument that the exchange lists, trades and books too."
        ),
    ] = False,
    exit_when_closed: Annotated[
        bool,
        typer.Option(
            "--exit-when-closed",
            help="End when the exchange closes the connection, as a replay does at its end.",
        ),
    ] = False,
    websocket_url: _WebsocketOption = None,
    rest_url: _RestOption = None,
    spool_directory: _SpoolOption = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            help="Port of the metrics; 0 takes a free one and logs it. "
            "Default: VOL_STREAMER_METRICS_PORT, else 0."
        ),
    ] = None,
    as_json: _JsonOption = False,
    log_level: _LogOption = "info",
) -> None:
    """Collect live, until Ctrl-C or SIGTERM."""
    configure(level=log_level)
    settings = _settings_or_exit(
        websocket_url=websocket_url,
        rest_url=rest_url,
        spool_directory=spool_directory,
        metrics_port=metrics_port,
    )
    try:
        wanted = None if channels is None else _channels_of(channels)
        accounting = asyncio.run(
            _collect(settings, wanted, exit_when_closed=exit_when_closed, all_offered=all_offered)
        )
    except StreamerError as error:
        _fail(error)
    _print(accounting, as_json=as_json)


@app.command()
def ingest(
    file: Annotated[Path, typer.Argument(help="A capture (.gz and .zst too), or - for stdin.")],
    keep_receive_times: Annotated[
        bool,
        typer.Option(
            "--keep-receive-times",
            help="Store the capture's receive times instead of now; rows older than the "
            "retention of the raw tables (400 days unless configured) then vanish at once.",
        ),
    ] = False,
    spool_directory: _SpoolOption = None,
    as_json: _JsonOption = False,
    log_level: _LogOption = "warning",
) -> None:
    """Store the frames of a capture, through the same spool and decoder as live ones."""
    configure(level=log_level)
    settings = _settings_or_exit(spool_directory=spool_directory)
    try:
        accounting = ingest_messages(
            read_capture(file), settings, SYSTEM_CLOCK, keep_receive_times=keep_receive_times
        )
    except StreamerError as error:
        _fail(error)
    _print(accounting, as_json=as_json)


@app.command()
def capture(
    file: Annotated[Path, typer.Argument(help="File to write; .zst or .gz compresses it.")],
    minutes: Annotated[
        float, typer.Option(min=0.0, help="How long to record, in minutes; Ctrl-C ends it sooner.")
    ] = 5.0,
    channels: Annotated[
        str | None, typer.Option(help="Exactly these channels, given as to `vol-streamer run`.")
    ] = None,
    websocket_url: _WebsocketOption = None,
    rest_url: _RestOption = None,
    log_level: _LogOption = "warning",
) -> None:
    """Record the exchange to a file, without a database."""
    configure(level=log_level)
    settings = _settings_or_exit(websocket_url=websocket_url, rest_url=rest_url)
    try:
        wanted = None if channels is None else _channels_of(channels)
        recording = CaptureFile(file, settings.rest_url)
        recorder = Recorder(settings, SYSTEM_CLOCK, recording, channels=wanted)
        try:
            asyncio.run(recorder.run(minutes * 60))
        except KeyboardInterrupt:
            pass  # what came so far is a capture too
        finally:
            recording.close()
    except StreamerError as error:
        _fail(error)
    print(f"{recording.messages} messages in {file}")


@app.command()
def export(
    hours: Annotated[
        list[Path], typer.Argument(help="Hours of the archive (.tar), then the file to write.")
    ],
) -> None:
    """Write hours of the archive as a capture file, for `vol replay`."""
    settings = _settings_or_exit()
    *sources, target = hours
    try:
        if not sources:
            raise CaptureError("name at least one hour of the archive and the file to write")
        recording = CaptureFile(target, settings.rest_url)
        export_archive(sources, recording)
        recording.close()
    except StreamerError as error:
        _fail(error)
    print(f"{recording.messages} messages in {target}")


async def _collect(
    settings: StreamerSettings,
    channels: list[str] | None,
    *,
    exit_when_closed: bool,
    all_offered: bool,
) -> Accounting:
    tune_process()
    collector = Collector(
        settings,
        SYSTEM_CLOCK,
        channels=channels,
        all_offered=all_offered,
        exit_when_closed=exit_when_closed,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, collector.stop)
    return await collector.run()


def _channels_of(argument: str) -> list[str]:
    """Return channel names: from a capture, from a list in a file, or as they stand."""
    path = Path(argument)
    if not path.is_file():
        return [name.strip() for name in argument.split(",") if name.strip()]
    found = channels_of_capture(path)
    if found:
        return found
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _settings_or_exit(**flags: object) -> StreamerSettings:
    try:
        return load_settings(**flags)
    except StreamerError as error:
        _fail(error)


def _fail(error: StreamerError) -> NoReturn:
    typer.echo(f"vol-streamer: {error}", err=True)
    raise typer.Exit(code=1) from None


def _print(accounting: Accounting, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(accounting.as_dict(), sort_keys=True))
        return
    accounts = accounting.accounts
    tables = ", ".join(f"{name} {count}" for name, count in accounts.rows.items()) or "none"
    balance = "balanced" if accounting.is_balanced else "NOT BALANCED"
    if accounts.is_balanced and accounting.waiting_on_disk:
        balance = f"{accounting.waiting_on_disk} wait on disk"
    print(
        f"{accounting.messages} messages: {accounts.data_messages} data, "
        f"{accounts.control_messages} control, {accounts.dead_letters} dead letters ({balance}); "
        f"rows: {tables}"
    )


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
