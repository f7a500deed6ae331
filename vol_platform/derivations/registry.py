"""Every derivation, in an order in which each follows its inputs.

The record and the live view are both built from `REGISTRY`; nothing else says what is derived.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from vol_platform.derivations.contracts import (
    RAW_FRAMES,
    Check,
    CheckOutcome,
    Derivation,
    DerivationContext,
    Frames,
)
from vol_platform.derivations.forwards.checks import FORWARD_CURVE_CHECKS
from vol_platform.derivations.forwards.curve import FORWARD_COLUMNS, forward_curve
from vol_platform.derivations.greeks.book_checks import (
    GREEKS_BY_EXPIRY_CHECKS,
    GREEKS_GRID_CHECKS,
    PORTFOLIO_GREEKS_CHECKS,
)
from vol_platform.derivations.greeks.by_expiry import GREEKS_BY_EXPIRY_COLUMNS, greeks_by_expiry
from vol_platform.derivations.greeks.checks import GREEKS_CHECKS
from vol_platform.derivations.greeks.grid import GREEKS_GRID_COLUMNS, greeks_grid
from vol_platform.derivations.greeks.options import GREEKS_COLUMNS, options_greeks
from vol_platform.derivations.greeks.portfolio import PORTFOLIO_GREEKS_COLUMNS, portfolio_greeks
from vol_platform.derivations.metrics.checks import (
    SKEW_METRICS_CHECKS,
    TERM_STRUCTURE_CHECKS,
    VARIANCE_INDEX_CHECKS,
)
from vol_platform.derivations.metrics.smile_metrics import (
    SKEW_COLUMNS,
    TERM_COLUMNS,
    skew_metrics,
    term_structure,
)
from vol_platform.derivations.metrics.variance import VARIANCE_INDEX_COLUMNS, variance_index
from vol_platform.derivations.quotes.checks import QUOTES_CLEAN_CHECKS, QUOTES_REJECTED_CHECKS
from vol_platform.derivations.quotes.cleaning import (
    CLEAN_COLUMNS,
    REJECTED_COLUMNS,
    quotes_clean,
    quotes_rejected,
)
from vol_platform.derivations.rates.checks import INTEREST_RATE_CHECKS
from vol_platform.derivations.rates.curve import INTEREST_RATE_COLUMNS, interest_rates
from vol_platform.derivations.surfaces.checks import SURFACE_CHECKS, SURFACE_GRID_CHECKS
from vol_platform.derivations.surfaces.fitting import SURFACE_COLUMNS, surfaces
from vol_platform.derivations.surfaces.grid import GRID_COLUMNS, surface_grid

__all__ = [
    "RAW_FRAMES",
    "REGISTRY",
    "Check",
    "CheckOutcome",
    "Derivation",
    "DerivationContext",
    "Frames",
    "by_name",
    "derive_all",
]

REGISTRY: tuple[Derivation, ...] = (
    Derivation(
        name="quotes_clean",
        table="quotes_clean",
        domain="quotes",
        description="Option quotes that a fit may use, and how: two-sided or only as a bound.",
        inputs=("chain",),
        function=quotes_clean,
        columns=CLEAN_COLUMNS,
        key=("snapshot_ts", "currency", "expiry_ts", "strike", "is_call", "instrument_name"),
        code_version="1",
        checks=QUOTES_CLEAN_CHECKS,
    ),
    Derivation(
        name="quotes_rejected",
        table="quotes_rejected",
        domain="quotes",
        description="Listed options whose quote no fit may use, each with the reason.",
        inputs=("chain",),
        function=quotes_rejected,
        columns=REJECTED_COLUMNS,
        key=("snapshot_ts", "currency", "instrument_name", "reason"),
        code_version="1",
        checks=QUOTES_REJECTED_CHECKS,
    ),
    Derivation(
        name="forward_curve",
        table="forward_curve",
        domain="forwards",
        description="The forward of every listed expiry, from put-call parity around the prior.",
        inputs=("chain", "futures", "index", "quotes_clean"),
        function=forward_curve,
        columns=FORWARD_COLUMNS,
        key=("snapshot_ts", "currency", "expiry_ts"),
        code_version="1",
        checks=FORWARD_CURVE_CHECKS,
    ),
    Derivation(
        name="surfaces",
        table="surfaces",
        domain="surfaces",
        description="The arbitrage-free surface of every snapshot, one row per expiry.",
        inputs=("quotes_clean", "forward_curve", "chain"),
        function=surfaces,
        columns=SURFACE_COLUMNS,
        key=("snapshot_ts", "currency", "expiry_ts"),
        code_version="2",
        checks=SURFACE_CHECKS,
    ),
    Derivation(
        name="surface_grid",
        table="surface_grid",
        domain="surfaces",
        description="The surface at fixed log-moneyness and delta, by expiry and fixed maturity.",
        inputs=("surfaces",),
        function=surface_grid,
        columns=GRID_COLUMNS,
        key=("snapshot_ts", "currency", "expiry_years", "axis", "coordinate", "expiry_ts"),
        code_version="2",
        checks=SURFACE_GRID_CHECKS,
    ),
    Derivation(
        name="options_greeks",
        table="options_greeks",
        domain="greeks",
        description="Price and greeks of every listed option, with the surface's volatility.",
        inputs=("chain", "forward_curve", "surfaces"),
        function=options_greeks,
        columns=GREEKS_COLUMNS,
        key=("snapshot_ts", "currency", "expiry_ts", "strike", "is_call", "instrument_name"),
        code_version="1",
        checks=GREEKS_CHECKS,
    ),
    Derivation(
        name="term_structure",
        table="term_structure",
        domain="metrics",
        description="At-the-money and forward volatility by expiry and at constant maturity.",
        inputs=("surfaces",),
        function=term_structure,
        columns=TERM_COLUMNS,
        key=("snapshot_ts", "currency", "is_constant_maturity", "expiry_years"),
        code_version="2",
        checks=TERM_STRUCTURE_CHECKS,
    ),
    Derivation(
        name="skew_metrics",
        table="skew_metrics",
        domain="metrics",
        description="Risk reversals, butterflies, slope and curvature, by expiry and maturity.",
        inputs=("surfaces",),
        function=skew_metrics,
        columns=SKEW_COLUMNS,
        key=("snapshot_ts", "currency", "is_constant_maturity", "expiry_years"),
        code_version="2",
        checks=SKEW_METRICS_CHECKS,
    ),
    Derivation(
        name="interest_rates",
        table="interest_rates",
        domain="rates",
        description="The USD rate to every listed expiry; 0 until somebody loads a curve.",
        inputs=("forward_curve", "rates"),
        function=interest_rates,
        columns=INTEREST_RATE_COLUMNS,
        key=("snapshot_ts", "currency", "expiry_ts"),
        code_version="1",
        checks=INTEREST_RATE_CHECKS,
    ),
    Derivation(
        name="greeks_grid",
        table="greeks_grid",
        domain="greeks",
        description="Greeks at fixed log-moneyness and delta, at constant maturity.",
        inputs=("surface_grid",),
        function=greeks_grid,
        columns=GREEKS_GRID_COLUMNS,
        key=("snapshot_ts", "currency", "expiry_years", "axis", "coordinate"),
        code_version="1",
        checks=GREEKS_GRID_CHECKS,
    ),
    Derivation(
        name="greeks_by_expiry",
        table="greeks_by_expiry",
        domain="greeks",
        description="Greeks of all open interest, added up by expiry.",
        inputs=("options_greeks",),
        function=greeks_by_expiry,
        columns=GREEKS_BY_EXPIRY_COLUMNS,
        key=("snapshot_ts", "currency", "expiry_ts"),
        code_version="1",
        checks=GREEKS_BY_EXPIRY_CHECKS,
    ),
    Derivation(
        name="portfolio_greeks",
        table="portfolio_greeks",
        domain="greeks",
        description="Value and greeks of the portfolios that somebody loaded, by expiry.",
        inputs=("options_greeks", "positions"),
        function=portfolio_greeks,
        columns=PORTFOLIO_GREEKS_COLUMNS,
        key=("snapshot_ts", "portfolio", "currency", "expiry_ts"),
        code_version="1",
        checks=PORTFOLIO_GREEKS_CHECKS,
    ),
    Derivation(
        name="variance_index",
        table="variance_index",
        domain="metrics",
        description="Our own volatility index: model-free variance at thirty days, like DVOL.",
        inputs=("surfaces",),
        function=variance_index,
        columns=VARIANCE_INDEX_COLUMNS,
        key=("snapshot_ts", "currency", "days"),
        code_version="2",
        checks=VARIANCE_INDEX_CHECKS,
    ),
)


def by_name(name: str) -> Derivation:
    """Return one derivation.

    Raises
    ------
    KeyError
        There is none of this name.
    """
    for derivation in REGISTRY:
        if derivation.name == name:
            return derivation
    msg = f"no derivation {name!r}; there are {[derivation.name for derivation in REGISTRY]}"
    raise KeyError(msg)


def derive_all(
    frames: Frames,
    context: DerivationContext,
    names: Iterable[str] | None = None,
) -> dict[str, pl.DataFrame]:
    """Run derivations in order on raw frames.

    Parameters
    ----------
    frames
        The raw frames, and any derived frame that is known already (it is not derived again).
    context
        Parameters.
    names
        Derivations to run; None runs all.  Their inputs must be among `frames` or `names`.

    Returns
    -------
    dict
        The frames that were given and the derived ones.

    Raises
    ------
    DerivationError
        As `Derivation.derive`.
    """
    wanted = {derivation.name for derivation in REGISTRY} if names is None else set(names)
    known = dict(frames)
    for derivation in REGISTRY:
        if derivation.name in wanted and derivation.name not in known:
            known[derivation.name] = derivation.derive(known, context)
    return known
