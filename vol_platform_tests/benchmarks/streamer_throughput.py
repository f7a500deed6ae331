"""The collector's throughput and lags beside cryptofeed 3.

``python -m vol_platform_tests.benchmarks streamer_throughput``.  A sender process of pre-encoded
frames (a simulated board of option tickers) feeds one collector process through a loopback socket.
Measured: decoding and normalising alone; socket to sealed segment; socket to acknowledged row in a
real store; lags at 5,000 messages a second; the same sender with cryptofeed 3 and a plain callback,
which keeps neither the option fields nor a copy on disk.  With two cores or more the collector is
pinned to one, everything else runs on the others.  cryptofeed lives in an environment of its own
under ``.vol/bench``, made on demand with the ``python3.13`` on the PATH; without one that part is
reported as missing.  Rows that wait: `PACED_RATE` messages a second, the lags of every message.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamer.decoding.batch import read_segment
from streamer.decoding.decode import FrameDecoder
from streamer.spool.segment import SegmentHeader, encode_frames, encode_header
from vol_platform.store.migrate import migrate
from vol_platform_tests.benchmarks import _peers
from vol_platform_tests.benchmarks._streamer_sender import Board
from vol_platform_tests.conftest import REPOSITORY, finish, start_store

MESSAGES = 400_000
STORED_MESSAGES = 200_000
PACED_RATE, PACED_MESSAGES = 5_000, 300_000  # a minute: the first INSERT is no percent of it
CRYPTOFEED_MESSAGES = 100_000
_HEADER_BYTES = 4
_ROUNDS = 7
_TIMEOUT = 300
_CORES = sorted(os.sched_getaffinity(0))


def environment() -> dict[str, str]:
    return dict(os.environ) | {"PYTHONPATH": str(REPOSITORY)}


def _pinned(core: int | None) -> list[str]:
    return [] if core is None else ["taskset", "-c", str(core)]


@dataclass(frozen=True, slots=True)
class RunningSender:
    """A sender and the port where it waits for its client."""

    process: subprocess.Popen[str]
    port: int

    def end(self) -> int:
        """End the feed now; return how many messages it had."""
        self.process.terminate()
        assert self.process.stdout is not None
        return int(self.process.stdout.readline().removeprefix("sent "))


@contextmanager
def sender(messages: int, rate: float, burst: int = 0) -> Iterator[RunningSender]:
    """Run the sender."""
    module = "vol_platform_tests.benchmarks._streamer_sender"
    numbers = map(str, (messages, rate, burst))
    process = subprocess.Popen(
        [*_pinned(_other_core()), sys.executable, "-m", module, *numbers],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        yield RunningSender(process, int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


def _own_core() -> int | None:
    return _CORES[0] if len(_CORES) > 1 else None


def _other_core() -> int | None:
    return _CORES[1] if len(_CORES) > 1 else None


def collect(messages: int, rate: float, *, sealed_only: bool, profile: bool = False) -> str:
    """Run one collector against one sender; return what it printed."""
    with tempfile.TemporaryDirectory() as folder, sender(messages, rate) as feed:
        address = f"127.0.0.1:{feed.port}/"
        settings: dict[str, Any] = {
            "websocket_url": f"ws://{address}ws/api/v2",
            "rest_url": f"http://{address}api/v2",
            "spool_directory": f"{folder}/spool",
            "spool": {"disk_floor_bytes": 0},
            "first_data_seconds": 3600.0,  # the channel of the request never speaks
            "collector": "bench",
            "clickhouse": {"port": 1},  # nobody answers there: the spool holds the segments
        }
        store = None if sealed_only else start_store(Path(folder) / "store")
        try:
            if store is not None:
                database = store.settings("vol_bench")
                migrate(database)
                settings["clickhouse"] = {
                    "port": database.clickhouse.port,
                    "database": "vol_bench",
                }
            wanted = {
                "settings": settings,
                "messages": messages,
                "sealed_only": sealed_only,
                "profile": profile,
                "channels": ["ticker.BTC-PERPETUAL.100ms"],
            }
            module = "vol_platform_tests.benchmarks._streamer_collector"
            done = subprocess.run(
                [*_pinned(_own_core()), sys.executable, "-m", module, json.dumps(wanted)],
                stdout=subprocess.PIPE,
                text=True,
                env=environment(),
                timeout=_TIMEOUT,
                check=True,
            )
        finally:
            if store is not None:
                finish(store)
    return done.stdout


def decode_alone() -> tuple[float, float]:
    """Return microseconds of CPU a message: frames to decoded messages, and to Arrow columns."""
    frames = [frame[_HEADER_BYTES:] for frame in Board().frames]
    now_ns = time.time_ns()
    header = SegmentHeader("b", "bench", "stream", testnet=False, created_ns=now_ns)
    segment = encode_header(header) + encode_frames(now_ns, 1, frames * 5)
    decoder, times = FrameDecoder(), [now_ns] * len(frames)
    decode = build = float("inf")
    for _ in range(_ROUNDS):  # by itself, as the other library's: columns would empty the caches
        begun = time.process_time()
        for _ in decoder.decode_all(frames, times):
            pass
        decode = min(decode, (time.process_time() - begun) / len(frames))
    for _ in range(_ROUNDS):
        begun = time.process_time()
        batch = read_segment(segment, decoder)
        build = min(build, (time.process_time() - begun) / batch.accounts.frames)
    return decode * 1e6, build * 1e6


def cryptofeed() -> dict[str, Any] | str:
    """Measure cryptofeed on the same frames and the same sender; or say why it cannot be."""
    _peers.PEERS["cryptofeed"] = (("cryptofeed==3.0.1",), ("python3.13",))
    python = _peers.environment("cryptofeed", REPOSITORY / ".vol" / "bench")
    if isinstance(python, str):
        return python
    script = Path(__file__).with_name("_streamer_cryptofeed.py")
    with tempfile.TemporaryDirectory() as folder, sender(CRYPTOFEED_MESSAGES, 0) as feed:
        frames = Path(folder) / "frames"
        frames.write_bytes(b"\n".join(frame[_HEADER_BYTES:] for frame in Board().frames) + b"\n")
        command = [str(python), str(script), str(feed.port), str(CRYPTOFEED_MESSAGES), str(frames)]
        done = subprocess.run(
            [*_pinned(_own_core()), *command],
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=_TIMEOUT,
            check=False,
        )
    if done.returncode != 0:
        return done.stderr.strip().splitlines()[-1][:200]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Measure and print everything."""
    load = os.getloadavg()[0]
    print(f"load average {load:.1f}; collector on core {_own_core()} of {_CORES}")
    decode, build = decode_alone()
    print(f"decode alone           {decode:7.2f} us a message")
    print(f"decode + Arrow columns {build:7.2f} us a message")
    result = json.loads(collect(MESSAGES, 0, sealed_only=True))
    sealed = MESSAGES / result["seconds_to_sealed"]
    sealed_cpu = result["cpu_to_sealed"] / MESSAGES * 1e6
    print(f"socket to sealed       {sealed:7,.0f} messages/s, {sealed_cpu:.1f} us of CPU each")
    result = json.loads(collect(STORED_MESSAGES, 0, sealed_only=False))
    stored = STORED_MESSAGES / result["seconds_to_stored"]
    stored_cpu = result["cpu_to_stored"] / STORED_MESSAGES * 1e6
    print(
        f"socket to queryable    {stored:7,.0f} rows/s, {stored_cpu:.1f} us of CPU each, "
        f"{result['rows']} of {STORED_MESSAGES} rows, peak {result['peak_megabytes']:.0f} MB"
    )
    result = json.loads(collect(PACED_MESSAGES, PACED_RATE, sealed_only=False))
    print(
        f"at {PACED_RATE:,} messages/s: receive to spool p50 "
        f"{result['receive_to_spool_p50'] * 1e3:.2f} ms p99 "
        f"{result['receive_to_spool_p99'] * 1e3:.2f} ms; receive to queryable p50 "
        f"{result['receive_to_queryable_p50']:.2f} s p99 {result['receive_to_queryable_p99']:.2f} s"
    )
    print(
        "its slowest steps: "
        + "; ".join(f"{what} {took:.2f} s at {at:.0f} s" for what, took, at in result["slow"])
    )
    peer = cryptofeed()
    if isinstance(peer, str):
        print(f"cryptofeed: missing ({peer})")
    else:
        rate = peer["seen"] / peer["seconds"]
        cpu = peer["cpu_seconds"] / peer["seen"] * 1e6
        alone = peer["decode_microseconds"]
        print(f"cryptofeed to callback {rate:7,.0f} messages/s, {cpu:.1f} us of CPU each")
        print(f"cryptofeed decode alone {alone:6.2f} us a message")
        print(
            f"ours / cryptofeed: {sealed / rate:.1f} times through the socket to sealed, "
            f"{stored / rate:.1f} to queryable; {alone / decode:.1f} times in decoding, "
            f"{alone / build:.1f} with the columns"
        )
    print("where the time of the socket's thread goes (cProfile, itself slows it):")
    lines = collect(MESSAGES // 4, 0, sealed_only=True, profile=True).splitlines()
    print("\n".join(line for line in lines[1:] if line.strip()))


if __name__ == "__main__":
    main()
