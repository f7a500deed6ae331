"""One measurement in one process: ``python _worker.py PEER DATA.npz``; prints one line of JSON.

Runs inside the peer's own environment, so it imports nothing but numpy and the peer.  Times are the
best of many repetitions after a warm call. `greeks` is whatever a peer computes in its one bundle,
with the number of outputs beside it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Data = dict[str, Any]
Call = Callable[[], Any]


def ours(d: Data) -> dict[str, tuple[Call, int]]:
    from vol_platform.quant import black76, greeks, implied

    memory = np.empty((14, len(d["strike"])))
    row = (d["forwards"], d["strike"], d["years"], d["vol"], d["is_call"])
    return {
        "price": (lambda: black76.price(*row), 1),
        "iv": (
            lambda: implied.implied_vol(
                d["price"], d["forwards"], d["strike"], d["years"], d["is_call"]
            ),
            1,
        ),
        "greeks": (lambda: greeks.greeks(*row), 14),
        "greeks_into_given_memory": (lambda: greeks.greeks(*row, out=memory), 14),
    }


def numpy_scipy(d: Data) -> dict[str, tuple[Call, int]]:
    from scipy.special import ndtr

    f, k, t, v = d["forwards"], d["strike"], d["years"], d["vol"]
    sign = np.where(d["is_call"], 1.0, -1.0)

    def bundle() -> Any:
        root = np.sqrt(t)
        s = v * root
        d1 = np.log(f / k) / s + 0.5 * s
        d2 = d1 - s
        n = np.exp(-0.5 * d1 * d1) * 0.3989422804014327
        gamma = n / (f * s)
        vega = f * n * root
        return (
            sign * ndtr(sign * d1), gamma, vega, -0.5 * f * n * v / root,
            sign * k * t * ndtr(sign * d2), -n * d2 / v, vega * d1 * d2 / v, n * d2 / (2 * t),
        )  # fmt: skip

    return {"greeks": (bundle, 8)}


def lbriv(d: Data) -> dict[str, tuple[Call, int]]:
    import lbriv as peer

    call, put = d["is_call"], ~d["is_call"]
    groups = [
        (
            sign, chosen, np.ascontiguousarray(d["price"][chosen]),
            np.ascontiguousarray(d["strike"][chosen]),
        )
        for sign, chosen in ((1, call), (-1, put))
    ]  # fmt: skip
    root = np.sqrt(d["years"])

    def solve() -> Any:
        total = np.empty(len(root))
        for sign, chosen, price, strike in groups:
            total[chosen] = peer.vectorized_implied_vol_strikes(
                price, float(d["forward"]), strike, sign
            )
        return total / root

    return {"iv": (solve, 1)}


def pyvolr(d: Data) -> dict[str, tuple[Call, int]]:
    from pyvolr import black76 as peer

    flag = np.where(d["is_call"], "c", "p")
    row = (d["forwards"], d["strike"], d["years"], 0.0)
    return {
        "iv": (lambda: peer.implied_vol(d["price"], flag, *row, on_error="ignore"), 1),
        "greeks": (lambda: peer.greeks(flag, *row, d["vol"]), 5),
    }


def by_flag(d: Data, solve: Callable[[bool, Data], Any]) -> Call:
    """Call a peer that takes one flag per batch once for calls and once for puts."""
    parts = []
    for is_call in (True, False):
        chosen = d["is_call"] == is_call
        part = {k: np.ascontiguousarray(v[chosen]) for k, v in d.items() if k != "forward"}
        parts.append((is_call, chosen, part))

    def run() -> Any:
        out = np.empty(len(d["strike"]))
        for is_call, chosen, part in parts:
            out[chosen] = solve(is_call, part)
        return out

    return run


def opengreeks(d: Data) -> dict[str, tuple[Call, int]]:
    from opengreeks import black76 as peer

    names = (
        "delta", "gamma", "vega", "theta", "rho", "vanna", "vomma", "charm", "veta", "speed",
        "zomma", "color", "ultima", "dual_delta",
    )  # fmt: skip
    calls = [getattr(peer, f"{name}_array") for name in names]

    def solve(is_call: bool, part: Data) -> Any:
        return peer.implied_volatility_array(
            part["price"], part["forwards"], part["strike"], 0.0, part["years"],
            "c" if is_call else "p",
        )  # fmt: skip

    def bundle(is_call: bool, part: Data) -> Any:
        row = (part["forwards"], part["strike"], part["years"], 0.0, part["vol"])
        results = [call("c" if is_call else "p", *row) for call in calls]
        return results[0]

    return {"iv": (by_flag(d, solve), 1), "greeks": (by_flag(d, bundle), 14)}


def fast_vollib(d: Data) -> dict[str, tuple[Call, int]]:
    import fast_vollib as peer

    flag = np.where(d["is_call"], "c", "p")
    zero = np.zeros(len(flag))
    return {
        "iv": (
            lambda: peer.fast_implied_volatility_black(
                d["price"], d["forwards"], d["strike"], zero, d["years"], flag,
                on_error="ignore", return_as="numpy",
            ),
            1,
        ),
        "greeks": (
            lambda: peer.get_all_greeks(
                flag, d["forwards"], d["strike"], d["years"], zero, d["vol"],
                model="black", return_as="dict",
            ),
            5,
        ),
    }  # fmt: skip


def quantkit(d: Data) -> dict[str, tuple[Call, int]]:
    import quantkit as peer

    peer.set_num_threads(1)

    def solve(is_call: bool, part: Data) -> Any:
        return peer.implied_vol_batch(
            part["price"], part["forwards"], part["strike"], 0.0, part["years"],
            is_call=is_call, errors="nan",
        )  # fmt: skip

    def bundle(is_call: bool, part: Data) -> Any:
        return peer.bs_greeks_batch(
            part["forwards"], part["strike"], 0.0, part["vol"], part["years"], is_call=is_call
        )["delta"]

    return {"iv": (by_flag(d, solve), 1), "greeks": (by_flag(d, bundle), 5)}


def quantlib(d: Data) -> dict[str, tuple[Call, int]]:
    import QuantLib as peer  # noqa: N813 - every adapter calls its subject `peer`

    limit = min(len(d["strike"]), 20_000)  # a scalar interface: the time per option does not change
    kinds = [peer.Option.Call if c else peer.Option.Put for c in d["is_call"][:limit]]
    root = np.sqrt(d["years"])
    columns = [
        x[:limit].tolist() for x in (d["strike"], d["forwards"], d["price"], d["vol"] * root)
    ]
    rows = list(zip(kinds, *columns, strict=True))

    def solve() -> Any:
        return [
            peer.blackFormulaImpliedStdDev(kind, k, f, p, 1.0, 0.0, 0.5, 1e-12, 200)
            for kind, k, f, p, _ in rows
        ]

    def bundle() -> Any:
        out = []
        for kind, k, f, _, s in rows:
            black = peer.BlackCalculator(peer.PlainVanillaPayoff(kind, k), f, s, 1.0)
            out.append((black.deltaForward(), black.gammaForward(), black.vega(0.1)))
        return out

    scale = len(d["strike"]) // limit or 1
    return {"iv": (solve, -scale), "greeks": (bundle, -3 * scale)}


PEERS = {
    "ours": ours, "numpy_scipy": numpy_scipy, "lbriv": lbriv, "pyvolr": pyvolr,
    "opengreeks": opengreeks, "fast_vollib": fast_vollib, "quantkit": quantkit,
    "quantlib": quantlib,
}  # fmt: skip


def best_seconds(call: Call, budget: float) -> float:
    """Best of as many repetitions as fit the budget (3 at least), after one warm call."""
    call()
    best, spent, count = float("inf"), 0.0, 0
    while spent < budget or count < 3:
        start = time.perf_counter()
        call()
        took = time.perf_counter() - start
        best, spent, count = min(best, took), spent + took, count + 1
    return best


def accuracy(calls: dict[str, tuple[Call, int]], vol: np.ndarray) -> dict[str, float]:
    """Largest relative error of the implied volatilities, and how many are missing."""
    if "iv" not in calls or calls["iv"][1] < 0:
        return {}
    found = np.asarray(calls["iv"][0](), dtype=np.float64).ravel()
    error = np.abs(found / vol - 1.0)
    return {"worst": float(np.nanmax(error)), "missing": int(np.sum(~np.isfinite(found)))}


def main(name: str, path: str) -> None:
    """Measure one peer on one batch."""
    with np.load(path) as stored:
        data: Data = {key: stored[key] for key in stored.files}
    data["forward"] = float(data["forwards"][0])
    start = time.perf_counter()
    calls = PEERS[name](data)
    for call, _ in calls.values():
        call()
    result: dict[str, Any] = {"first_call_seconds": time.perf_counter() - start}
    size = len(data["strike"])
    for metric, (call, outputs) in calls.items():
        # a negative count marks a scalar interface measured on a part of the batch
        part = size if outputs > 0 else min(size, 20_000)
        seconds = best_seconds(call, 0.2 if size <= 1_000 else 0.4)
        width = abs(outputs) if outputs > 0 else max(1, abs(outputs) * part // size)
        result[metric] = {"nanoseconds": seconds / part * 1e9, "outputs": width}
    result.update(accuracy(calls, data["vol"]))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
