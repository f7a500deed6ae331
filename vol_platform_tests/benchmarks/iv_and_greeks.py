"""Implied volatility and greeks beside other libraries: ``python -m …benchmarks.iv_and_greeks``.

Method: every measurement in a fresh process pinned to one core, best repetition per process, median
over interleaved rounds, batches of 1,000 and 200,000 out-of-the-money options of Deribit's kind. A
peer lives in an environment of its own under ``.vol/bench``, made on demand; one that cannot be had
is reported as missing. The machine should be otherwise idle.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from vol_platform.quant import black76

REPOSITORY = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("_worker.py")
BATCHES = (1_000, 200_000)
# name: (distributions, interpreters that can import it, newest first)
PEERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "numpy_scipy": (("scipy",), ()),
    "lbriv": (("lbriv",), ()),
    "pyvolr": (("pyvolr",), ()),
    "opengreeks": (("opengreeks",), ("python3.13", "python3.12")),  # its wheel needs 3.12
    "fast_vollib": (("fast-vollib", "numba"), ()),
    "quantkit": (("quantkit-rs",), ()),
    "quantlib": (("QuantLib",), ()),
}


def make_batch(size: int, path: Path) -> None:
    """Store a seeded batch: one forward, eight expiries, strikes by standard deviations."""
    generator = np.random.default_rng(20261122)
    forward = 61_803.39
    years = generator.choice([0.25, 1, 2, 7, 30, 90, 180, 364], size) / 365.0
    vol = generator.uniform(0.25, 1.3, size)
    score = generator.normal(0.0, 1.4, size)
    strike = forward * np.exp(score * vol * np.sqrt(years))
    is_call = strike > forward
    price = black76.price(forward, strike, years, vol, is_call)
    np.savez(
        path, forwards=np.full(size, forward), strike=strike, years=years, vol=vol,
        is_call=is_call, price=price,
    )  # fmt: skip


def environment(name: str, folder: Path) -> Path | str:
    """Interpreter of a peer's environment, made if need be; or the reason why there is none."""
    distributions, interpreters = PEERS[name]
    home = folder / name
    python = home / "bin" / "python"
    if (home / "complete").exists():
        return python
    base = sys.executable
    if interpreters:
        found = next(filter(None, map(shutil.which, interpreters)), None)
        if found is None:
            return f"needs {' or '.join(interpreters)}"
        base = found
    steps = (
        [base, "-m", "venv", "--clear", str(home)],
        [str(python), "-m", "pip", "install", "--quiet", "numpy", *distributions],
    )
    for step in steps:
        try:
            done = subprocess.run(step, capture_output=True, text=True, timeout=600, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"not installed: {error}"
        if done.returncode != 0:
            return f"not installed: {done.stderr.strip().splitlines()[-1][:90]}"
    (home / "complete").touch()
    return python


def measure(name: str, python: Path, batch: Path, core: int | None) -> dict[str, Any] | str:
    """One round of one peer on one batch."""
    variables = dict(os.environ)
    variables |= dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    if name == "ours":
        variables["PYTHONPATH"] = str(REPOSITORY)
    command = [str(python), str(WORKER), name, str(batch)]
    if core is not None and shutil.which("taskset"):
        command = ["taskset", "-c", str(core), *command]
    done = subprocess.run(
        command, capture_output=True, text=True, env=variables, timeout=900, check=False
    )
    if done.returncode != 0:
        return done.stderr.strip().splitlines()[-1][:90] if done.stderr.strip() else "crashed"
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def line(name: str, size: int, rounds: list[dict[str, Any]]) -> str:
    """Format the medians of one peer on one batch."""

    def median(metric: str) -> str:
        values = [r[metric]["nanoseconds"] for r in rounds if metric in r]
        return f"{statistics.median(values):10.1f}" if values else f"{'-':>10}"

    outputs = rounds[0].get("greeks", {}).get("outputs", 0)
    worst = rounds[0].get("worst")
    return (
        f"{name:12} {size:8,d} {median('iv')} {median('greeks')} {outputs:3d} "
        f"{median('greeks_into_given_memory')} {median('price')} "
        f"{'-' if worst is None else format(worst, '.1e'):>9} {rounds[0].get('missing', '-')!s:>7} "
        f"{statistics.median(r['first_call_seconds'] for r in rounds):8.2f}"
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".vol" / "bench")
    parser.add_argument("--core", type=int, default=min(os.sched_getaffinity(0)))
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    options = parser.parse_args(arguments if arguments is not None else [])
    options.folder.mkdir(parents=True, exist_ok=True)
    print(f"implied volatility and greeks; core {options.core}, load {os.getloadavg()[0]:.1f}")
    pythons: dict[str, Path] = {"ours": Path(sys.executable)}
    missing: dict[str, str] = {}
    for name in options.peers:
        found = environment(name, options.folder)
        if isinstance(found, str):
            missing[name] = found
        else:
            pythons[name] = found
    batches = {}
    for size in BATCHES:
        batches[size] = options.folder / f"batch_{size}.npz"
        make_batch(size, batches[size])
    results: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for _ in range(options.rounds):
        for size in BATCHES:
            for name, python in pythons.items():
                if name in missing:
                    continue
                result = measure(name, python, batches[size], options.core)
                if isinstance(result, str):
                    missing[name] = result
                else:
                    results.setdefault((name, size), []).append(result)
    print("nanoseconds per option; n = outputs of the greeks bundle; worst relative iv error")
    print(
        f"{'library':12} {'batch':>8} {'iv':>10} {'greeks':>10} {'n':>3} {'into out':>10} "
        f"{'price':>10} {'worst':>9} {'missing':>7} {'first s':>8}"
    )
    for (name, size), rounds in sorted(results.items(), key=lambda item: (item[0][1], item[0][0])):
        print(line(name, size, rounds))
    for name, reason in missing.items():
        print(f"{name:12} missing: {reason}")


if __name__ == "__main__":
    main(sys.argv[1:])
