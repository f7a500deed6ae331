"""Every derivation of the whole history."""

from __future__ import annotations

from vol_platform.derivations.contracts import Derivation
from vol_platform.derivations.history.checks import REALISED_CHECKS, REGIME_CHECKS
from vol_platform.derivations.history.realised import REALISED_COLUMNS, realised_volatility
from vol_platform.derivations.history.regimes import REGIME_COLUMNS, volatility_regimes

__all__ = ["HISTORY"]

HISTORY: tuple[Derivation, ...] = (
    Derivation(
        name="realised_volatility",
        table="realised_volatility",
        domain="history",
        description="Realised volatility of the index over trailing windows, on every hour.",
        inputs=("index_bars", "atm_history"),
        function=realised_volatility,
        columns=REALISED_COLUMNS,
        key=("snapshot_ts", "currency", "window_days"),
        code_version="1",
        checks=REALISED_CHECKS,
    ),
    Derivation(
        name="volatility_regimes",
        table="volatility_regimes",
        domain="history",
        description="Rank and regime of thirty-day volatility in its own history, on every hour.",
        inputs=("atm_history",),
        function=volatility_regimes,
        columns=REGIME_COLUMNS,
        key=("snapshot_ts", "currency", "window_days"),
        code_version="1",
        checks=REGIME_CHECKS,
    ),
)
