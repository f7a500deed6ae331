"""Plays recorded captures through a real socket and accounts for every message.

The simulator serves the capture's frames byte for byte, as fast as the socket takes them, and
closes; the streamer receives them like live ones and says what each became.  Three counts must
agree: what the simulator sent, what the streamer received and what the database holds.
"""

from __future__ import annotations

import secrets
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from vol_platform.errors import ImportFileError, LocalStackError
from vol_platform.local.children import streamer_environment
from vol_platform.local.readout import frame
from vol_platform.local.scratch import scratch_store
from vol_platform.settings import Settings, child_environment

__all__ = ["Account", "capture_files", "replay_capture", "replay_captures"]

_CAPTURE_SUFFIXES = (".txt", ".raw", ".json", ".jsonl", ".log")
_COMPRESSIONS = ("", ".gz", ".zst")
_ARCHIVED_HOUR = ".tar"
_READY_SECONDS = 60.0
_REPLAY_SECONDS = 300.0
_MOST_CHANNELS = 200
_ANY_CHANNEL = "deribit_price_index.btc_usd"
"""Subscribed when a capture names no channel: the simulator then sends every frame anyway."""


@dataclass(frozen=True)
class Account:
    """What became of one capture.

    Attributes
    ----------
    sent
        Frames of the capture that the simulator sent.
    received
        Messages the streamer received; its own calls' answers are among them.
    data, dead_letters, control
        What the streamer says they were.
    rows
        Rows by table.
    stored_frames, stored_dead_letters
        What the database holds of this replay.
    """

    capture: Path
    sent: int
    received: int
    data: int
    dead_letters: int
    control: int
    rows: dict[str, int]
    stored_frames: int
    stored_dead_letters: int

    def faults(self) -> list[str]:
        """Return what does not add up; empty when every message is accounted for."""
        checks = {
            f"{self.received} received but {self.sent} sent": self.received >= self.sent,
            (
                f"data {self.data} + dead letters {self.dead_letters} + control {self.control}"
                f" are not {self.received}"
            ): self.data + self.dead_letters + self.control == self.received,
            f"the database has {self.stored_frames} messages": self.stored_frames == self.received,
            f"the database has {self.stored_dead_letters} dead letters": (
                self.stored_dead_letters == self.dead_letters
            ),
            "nothing was stored": self.sent == 0 or self.received > 0,
        }
        return [fault for fault, good in checks.items() if not good]


def capture_files(paths: Sequence[Path]) -> list[Path]:
    """Return the captures among files and folders.

    Raises
    ------
    ImportFileError
        A path does not exist, or a folder holds no capture.
    """
    suffixes = (
        *(name + packed for name in _CAPTURE_SUFFIXES for packed in _COMPRESSIONS),
        _ARCHIVED_HOUR,
    )
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            msg = f"capture {path} does not exist; give existing files or folders"
            raise ImportFileError(msg)
        if path.is_dir():
            inside = sorted(entry for entry in path.rglob("*") if entry.name.endswith(suffixes))
            if not inside:
                msg = f"folder {path} holds no capture (files ending in {', '.join(suffixes)})"
                raise ImportFileError(msg)
            found += inside
        else:
            found.append(path)
    return found


def replay_captures(
    settings: Settings, paths: Sequence[Path], console: Console, *, scratch: bool
) -> bool:
    """Replay every capture and print the accounting; returns whether everything adds up.

    Parameters
    ----------
    settings
        Of the store to write to; only the store must run.
    paths
        Captures, hours of the streamer's archive (``.tar``), and folders of them.
    console
        Where the table goes.
    scratch
        Write to a temporary store instead.

    Raises
    ------
    ImportFileError
        A capture is missing or cannot be read.
    LocalStackError
        Simulator or streamer failed.
    """
    from vol_platform.store.migrate import migrate

    files = capture_files(paths)
    store = scratch_store(settings, "vol_replay") if scratch else nullcontext(settings)
    accounts = []
    with store as where:
        migrate(where)
        for path in files:
            console.print(f"replaying {path.name}", highlight=False)
            accounts.append(replay_capture(where, path))
    console.print(_table(accounts))
    faults = [f"{each.capture.name}: {fault}" for each in accounts for fault in each.faults()]
    for fault in faults:
        console.print(f"does not add up: {fault}", highlight=False, soft_wrap=True)
    if not faults:
        total = sum(account.sent for account in accounts)
        console.print(f"Every one of {total:,} captured messages is accounted for.")
    return not faults


def replay_capture(settings: Settings, capture: Path) -> Account:
    """Replay one capture, or an hour of the streamer's archive; see `replay_captures`."""
    collector = f"replay_{secrets.token_hex(6)}"
    with (
        tempfile.TemporaryDirectory(prefix="vol-replay-") as folder,
        _simulator(frames := _as_capture(capture, Path(folder))) as (
            process,
            websocket_url,
            rest_url,
        ),
    ):
        said = _run_streamer(
            settings,
            _write_channels(frames, Path(folder) / "channels"),
            streamer_environment(
                settings,
                websocket_url=websocket_url,
                rest_url=rest_url,
                spool=Path(folder) / "spool",
                collector=collector,
                currencies=("BTC",),
                metrics_port=0,
            ),
        )
        sent = _frames_sent(process)
    return _account(settings, capture, collector, sent, said)


def _as_capture(path: Path, folder: Path) -> Path:
    """Return a capture: an hour of the archive is written as one first."""
    if path.suffix != _ARCHIVED_HOUR:
        return path
    capture = folder / f"{path.stem}.jsonl.zst"
    result = subprocess.run(
        [sys.executable, "-m", "streamer.main", "export", str(path), str(capture)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_REPLAY_SECONDS,
    )
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or [f"{path} cannot be read"]
        raise ImportFileError(lines[0].removeprefix("vol-streamer: "))
    return capture


@contextmanager
def _simulator(capture: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Run the simulator on a capture; yields it with its two addresses."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "vol_platform.simulator", "--capture", str(capture)),
            *("--capture-all", "--capture-end", "close", "--speed", "0", "--no-credits"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        words = _read_line(process, "ready on", _READY_SECONDS).split()
        addresses = [word for word in words if "://" in word]
        yield process, addresses[0], addresses[1]
    finally:
        process.terminate()
        process.communicate()


def _read_line(process: subprocess.Popen[str], wanted: str, seconds: float) -> str:
    """Return the simulator's next line, which must contain `wanted`."""
    if process.stdout is None:
        raise LocalStackError("the simulator has no output to read")
    readable, _, _ = select.select([process.stdout], [], [], seconds)
    line = process.stdout.readline().strip() if readable else ""
    if wanted not in line:
        process.kill()
        _, errors = process.communicate()
        reason = errors.strip().splitlines()[-1] if errors.strip() else f"it said {line!r}"
        raise ImportFileError(reason.removeprefix("error: "))
    return line


def _frames_sent(process: subprocess.Popen[str]) -> int:
    line = _read_line(process, "capture finished", _READY_SECONDS)
    return int(line.split("capture finished: ")[1].split()[0])


def _write_channels(capture: Path, file: Path) -> Path:
    """Write down what to subscribe to: one socket's worth, and the simulator sends all there.

    Raw channels want a login that a replay has not; their aggregated twins carry the same data.
    """
    from vol_platform.simulator.exchange.capture import read_capture

    names = sorted(read_capture(capture).channels)
    twins = [
        name.removesuffix(".raw") + ".100ms" if name.endswith(".raw") else name for name in names
    ]
    file.write_text("\n".join(twins[:_MOST_CHANNELS] or [_ANY_CHANNEL]) + "\n")
    return file


def _run_streamer(
    settings: Settings, channels: Path, environment: dict[str, str]
) -> dict[str, Any]:
    """Run the streamer until the exchange closes; returns its accounting."""
    result = subprocess.run(
        [
            *(sys.executable, "-m", "streamer.main", "run", "--channels", str(channels)),
            *("--exit-when-closed", "--json", "--log-level", "error"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=_REPLAY_SECONDS,
        env=child_environment(environment | {"VOL_STREAMER_REDIS_URL": ""}),
    )
    if result.returncode != 0:
        last = (result.stderr.strip() or result.stdout.strip() or "it said nothing").splitlines()
        address = f"{settings.clickhouse.host}:{settings.clickhouse.port}"
        msg = f"the streamer failed (store {address}): {last[-1]}"
        raise LocalStackError(msg)
    said: dict[str, Any] = msgspec.json.decode(result.stdout.strip().splitlines()[-1])
    return said


def _account(
    settings: Settings, capture: Path, collector: str, sent: int, said: dict[str, Any]
) -> Account:
    from vol_platform.store.client import connect

    of_us: dict[str, object] = {"collector": collector}
    segments = "SELECT sum(frames) FROM ingest_segments FINAL WHERE collector = {collector:String}"
    letters = "SELECT count() FROM dead_letters WHERE collector = {collector:String}"
    with connect(settings) as client:
        stored = frame(client, segments, of_us).item()
        dead = frame(client, letters, of_us).item()
    return Account(
        capture=capture,
        sent=sent,
        received=said["messages"],
        data=said["data_messages"],
        dead_letters=said["dead_letters"],
        control=said["control_messages"],
        rows=said["rows"],
        stored_frames=int(stored or 0),
        stored_dead_letters=int(dead),
    )


def _table(accounts: list[Account]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("capture", "sent", "received", "data", "dead", "control", "rows", ""):
        table.add_column(heading, justify="left" if heading in ("capture", "rows", "") else "right")
    for account in accounts:
        table.add_row(
            account.capture.name,
            f"{account.sent:,}",
            f"{account.received:,}",
            f"{account.data:,}",
            f"{account.dead_letters:,}",
            f"{account.control:,}",
            ", ".join(f"{name} {count:,}" for name, count in account.rows.items()) or "none",
            "OK" if not account.faults() else "WRONG",
        )
    return table
