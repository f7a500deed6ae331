"""A real S3 server (SeaweedFS) for tests: the one of the local stack, on free ports."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from vol_platform.errors import ArchiveError
from vol_platform.local.children import S3_INNER_PORTS, s3
from vol_platform.local.layout import Layout
from vol_platform.settings import S3Settings
from vol_platform.store.s3.object_store import Bucket

__all__ = ["running_s3"]

_KEY, _SECRET = "test-key", "test-secret"
_START_SECONDS = 60.0


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextmanager
def running_s3() -> Iterator[S3Settings]:
    """Start the server, wait until it takes a bucket, give its settings, stop it."""
    names = ["s3", "s3-grpc", *(f"s3-{name}" for name in S3_INNER_PORTS)]
    names += [f"s3-{name}-grpc" for name in S3_INNER_PORTS]
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    folder = Path(tempfile.mkdtemp(prefix="vol-s3-"))
    layout = Layout(folder, "vol")
    layout.s3.mkdir(parents=True)
    environment = os.environ | {"AWS_ACCESS_KEY_ID": _KEY, "AWS_SECRET_ACCESS_KEY": _SECRET}  # noqa: TID251 - a child process of a test
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            s3(layout, ports).command, stdout=log, stderr=log, env=environment, cwd=folder
        )
        settings = S3Settings.model_validate(
            {
                "endpoint": f"http://127.0.0.1:{ports['s3']}",
                "access_key": _KEY,
                "secret_key": _SECRET,
            }
        )
        try:
            _wait(process, settings, folder / "log")
            yield settings
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=30)
            shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], settings: S3Settings, log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    probe = log.with_name("probe")
    probe.write_bytes(b"ready")
    while True:
        try:
            bucket = Bucket(settings)
            bucket.ensure()
            bucket.put("probe", probe)
        except ArchiveError:
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"the S3 server did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        else:
            bucket.delete("probe")
            return
