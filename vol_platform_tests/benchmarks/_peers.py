"""Other libraries beside ours: an environment each, made on demand, and one measurement in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["PEERS", "REPOSITORY", "environment", "measure"]

REPOSITORY = Path(__file__).resolve().parents[2]
# name: (distributions, interpreters that can import them, newest first; none means our own)
PEERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "numpy_scipy": (("numpy==2.4.6", "scipy==1.17.1"), ()),
    "lbriv": (("numpy==2.4.6", "lbriv==1.0.0"), ()),
    "pyvolr": (("numpy==2.4.6", "pyvolr==0.1.7"), ()),
    "opengreeks": (("numpy", "opengreeks==0.2.0"), ("python3.13", "python3.12")),
    "fast_vollib": (("numpy==2.4.6", "fast-vollib==0.2.4", "numba==0.68.1"), ()),
    "quantkit": (("numpy==2.4.6", "quantkit-rs==0.2.0"), ()),
    "quantlib": (("numpy==2.4.6", "QuantLib==1.44"), ()),
    "svi_py": (("numpy", "svi-py==1.0.0"), ("python3.13",)),
}


def _interpreter(wanted: tuple[str, ...]) -> str | None:
    """Return the first interpreter that is there and starts."""
    for name in wanted:
        path = shutil.which(name)
        if path is not None:
            done = subprocess.run([path, "-V"], capture_output=True, check=False)
            if done.returncode == 0:
                return path
    return None


def environment(name: str, folder: Path) -> Path | str:
    """Interpreter of a peer's environment, made if need be; or the reason why there is none."""
    distributions, interpreters = PEERS[name]
    home = folder / name
    python = home / "bin" / "python"
    complete = home / "complete"
    pins = " ".join(distributions)
    if complete.exists() and complete.read_text() == pins:
        return python
    base = _interpreter(interpreters) if interpreters else sys.executable
    if base is None:
        return f"needs {' or '.join(interpreters)}"
    steps = (
        [base, "-m", "venv", "--clear", str(home)],
        [str(python), "-m", "pip", "install", "--quiet", *distributions],
    )
    for step in steps:
        try:
            done = subprocess.run(step, capture_output=True, text=True, timeout=600, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"not installed: {error}"
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            return f"not installed: {lines[-1][:90]}"
    complete.write_text(pins)
    return python


def measure(
    worker: Path, name: str, python: Path, data: Path, core: int | None
) -> dict[str, Any] | str:
    """One round of one peer on one input, in a fresh process; or why it failed."""
    variables = dict(os.environ)
    variables |= dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    if name == "ours":
        variables["PYTHONPATH"] = str(REPOSITORY)
    command = [str(python), str(worker), name, str(data)]
    if core is not None and shutil.which("taskset"):
        command = ["taskset", "-c", str(core), *command]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=variables, timeout=300, check=False
        )
    except subprocess.TimeoutExpired:
        return "took more than 300 s"
    if done.returncode != 0:
        return done.stderr.strip().splitlines()[-1][:90] if done.stderr.strip() else "crashed"
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result
