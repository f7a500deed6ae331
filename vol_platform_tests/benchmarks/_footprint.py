"""What a run takes of the machine: CPU and peak memory of this process, its children, the store."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

__all__ = ["Footprint", "listener_of"]

_SECONDS_BETWEEN_LOOKS = 1.0


def listener_of(port: int) -> int | None:
    """Return the process that listens on a port of this machine, None where none of ours does."""
    for connection in psutil.net_connections("inet"):
        if connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1] == port:
            return connection.pid
    return None


class Footprint:
    """Measures while it is open; children are looked at once a second.

    Parameters
    ----------
    store
        Process of the store; None leaves it out.
    """

    def __init__(self, store: int | None) -> None:
        self._own = psutil.Process()
        self._store = psutil.Process(store) if store is not None else None
        self._peaks: dict[int, float] = {}
        self._cpu: dict[int, float] = {}
        self._before: dict[int, float] = {}
        self._ended = threading.Event()
        self._looker = threading.Thread(target=self._look_again, daemon=True)

    def __enter__(self) -> Footprint:
        """Begin."""
        for process in (self._own, self._store):
            if process is not None:
                self._before[process.pid] = _cpu_seconds(process)
                with suppress(OSError):  # the peak since now, not since the process began
                    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        self._looker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Look for the last time."""
        self._ended.set()
        self._looker.join()
        self._look()

    def _look_again(self) -> None:
        while not self._ended.wait(_SECONDS_BETWEEN_LOOKS):
            self._look()

    def _look(self) -> None:
        of_store = [self._store] if self._store is not None else []
        for process in (self._own, *self._own.children(recursive=True), *of_store):
            with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                self._cpu[process.pid] = _cpu_seconds(process) - self._before.get(process.pid, 0.0)
                self._peaks[process.pid] = _peak_mebibytes(process.pid)

    def summary(self, snapshots: int) -> str:
        """Say it in a few lines, CPU also for each of so many snapshots."""
        store = self._store.pid if self._store is not None else None
        children = sorted(
            (peak for pid, peak in self._peaks.items() if pid not in (self._own.pid, store)),
            reverse=True,
        )
        clients = sum(seconds for pid, seconds in self._cpu.items() if pid != store)
        parts = [f"clients {clients:.1f} s ({clients / snapshots * 1000:.1f} ms a snapshot)"]
        peaks = [
            f"this process {self._peaks[self._own.pid]:.0f} MiB",
            "its children " + ", ".join(f"{peak:.0f}" for peak in children) + " MiB",
        ]
        if store is not None:
            seconds = self._cpu[store]
            parts.append(f"store {seconds:.1f} s ({seconds / snapshots * 1000:.1f} ms a snapshot)")
            peaks.append(f"store {self._peaks[store]:.0f} MiB")
        return f"  CPU: {', '.join(parts)}\n  peak memory: {', '.join(peaks)}"


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _peak_mebibytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) / 1024
    return 0.0
