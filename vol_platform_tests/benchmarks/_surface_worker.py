"""One measurement of surface fits in one process: ``_surface_worker.py PEER DATA``; prints JSON.

Ours reads pickled boards, ``(board, the board a moment later)`` each; a peer reads arrays and runs
inside its own environment.  Milliseconds of CPU, the best of several repetitions for each chain.  A
peer is judged by the share of two-sided quotes whose bid and ask hold its volatility.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Slice = dict[str, Any]
Chain = list[Slice]


def _best(call: Callable[[], Any], repetitions: int) -> float:
    best = float("inf")
    for _ in range(repetitions):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return 1e3 * best


def ours(path: str) -> dict[str, Any]:
    """Milliseconds of a cold and a warm fit of each board, inversion of the prices included."""
    import pickle
    from dataclasses import replace

    from vol_platform.quant import warm_up
    from vol_platform.quant.surface import calibrate

    start = time.perf_counter()
    warm_up()
    first = time.perf_counter() - start
    boards = pickle.loads(Path(path).read_bytes())  # noqa: S301 - our own file, just written
    cold, warm = [], []
    for board, later in boards:
        surface = calibrate(board)
        # A copy has not inverted its prices yet.
        cold.append(_best(lambda b=board: calibrate(replace(b)), 5))
        warm.append(_best(lambda b=later, s=surface: calibrate(replace(b), previous=s), 7))
    return {"cold": cold, "warm": warm, "warm_up_seconds": first}


def svi_py(chain: Chain) -> Callable[[], list[Any]]:
    """SSVI chained in time: the model of svi-py that aims at no arbitrage."""
    import pandas as pd
    from loguru import logger
    from pysvi.surface import calibrate_surface

    logger.remove()
    columns = ["strike", "iv", "maturity", "implied_forward"]
    table = pd.concat(
        pd.DataFrame(
            dict(zip(columns, (s["strike"], s["mid"], s["years"], s["forward"]), strict=True))
        )
        for s in chain
    )

    def fit() -> list[Any]:
        found = calibrate_surface(table, "ssvi")
        return [np.sqrt(found.total_variance(s["k"], s["years"]) / s["years"]) for s in chain]

    return fit


def quantkit(chain: Chain) -> Callable[[], list[Any]]:
    """Raw SVI per expiry; nothing keeps it free of arbitrage."""
    import quantkit as peer

    def fit() -> list[Any]:
        out = []
        for s in chain:
            p = peer.svi_fit(s["k"], s["mid"] ** 2 * s["years"])
            x = s["k"] - p["m"]
            w = p["a"] + p["b"] * (p["rho"] * x + np.sqrt(x * x + p["sigma"] ** 2))
            out.append(np.sqrt(np.maximum(w, 0.0) / s["years"]))
        return out

    return fit


def quantlib(chain: Chain) -> Callable[[], list[Any]]:
    """SviInterpolatedSmileSection per expiry; nothing keeps it free of arbitrage."""
    import QuantLib as peer  # noqa: N813 - every adapter calls its subject `peer`

    day = peer.Date(1, 1, 2026)
    peer.Settings.instance().evaluationDate = day

    def fit() -> list[Any]:
        out = []
        for s in chain:
            days = max(round(s["years"] * 365), 1)
            scaled = s["mid"] * np.sqrt(s["years"] * 365.0 / days)  # QuantLib counts whole days
            at_money = float(np.interp(0.0, s["k"], scaled))
            section = peer.SviInterpolatedSmileSection(
                day + days, s["forward"], s["strike"].tolist(), False, at_money, scaled.tolist(),
                0.02, 0.4, 0.1, 0.0, 0.0, False, False, False, False, False,
            )  # fmt: skip
            vols = [section.volatility(strike) for strike in s["strike"].tolist()]
            out.append(np.array(vols) * np.sqrt(days / (s["years"] * 365.0)))
        return out

    return fit


PEERS = {"svi_py": svi_py, "quantkit": quantkit, "quantlib": quantlib}


def peer_rounds(name: str, path: str) -> dict[str, Any]:
    """Milliseconds and share in spread of a peer on each chain."""
    with np.load(path) as stored:
        data = {key: stored[key] for key in stored.files}
    chains: dict[int, Chain] = {}
    for first, last, chain, years, forward in zip(
        data["first"], data["last"], data["chain"], data["years"], data["forward"], strict=True
    ):
        part = slice(int(first), int(last))
        columns = {key: data[key][part] for key in ("k", "strike", "bid", "ask")}
        columns["mid"] = 0.5 * (columns["bid"] + columns["ask"])
        columns |= {"years": float(years), "forward": float(forward)}
        chains.setdefault(int(chain), []).append(columns)
    milliseconds, inside, count = [], 0, 0
    for chain in chains.values():
        fit = PEERS[name](chain)
        for s, vol in zip(chain, fit(), strict=True):
            inside += int(np.sum((vol >= s["bid"]) & (vol <= s["ask"])))
            count += len(vol)
        milliseconds.append(_best(fit, 2))
    return {"milliseconds": milliseconds, "in_spread": inside / count}


def main(name: str, path: str) -> None:
    """Measure one subject."""
    result = ours(path) if name == "ours" else peer_rounds(name, path)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
