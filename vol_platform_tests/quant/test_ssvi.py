"""Conditions of the papers, Mingone's box, fits that recover their own family."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vol_platform.quant import ssvi
from vol_platform.quant._fit.essvi_chain import MINGONE, chain_of
from vol_platform.quant._no_arbitrage.exact import butterfly_minimum, calendar_minimum
from vol_platform.quant.errors import QuantError
from vol_platform.quant.ssvi import EssviChain

K = np.linspace(-0.6, 0.6, 13)
YEARS = np.array([0.02, 0.1, 0.25, 0.7])


def quotes_of(chain: EssviChain, years: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    phi = chain.psi / chain.theta
    vol = [
        np.sqrt(ssvi.total_variance(K * np.sqrt(T), a, r, f) / T)
        for a, r, f, T in zip(chain.theta, chain.rho, phi, years, strict=True)
    ]
    k = np.concatenate([K * np.sqrt(T) for T in years])
    return np.arange(len(years) + 1) * K.size, k, np.concatenate(vol)


def test_the_natural_form_of_a_slice_is_the_same_smile_as_its_row() -> None:
    chain = EssviChain(np.array([0.04]), np.array([-0.3]), np.array([0.2]))
    row = ssvi.to_raw_rows(chain)[0]
    from vol_platform.quant._slices import total_variance

    expected = ssvi.total_variance(K, 0.04, -0.3, 0.2 / 0.04)
    assert total_variance(row, K) == pytest.approx(expected)
    assert float(ssvi.total_variance(0.0, 0.04, -0.3, 5.0)) == pytest.approx(0.04)


@given(st.floats(0.001, 2.0), st.floats(-0.95, 0.95), st.floats(0.05, 0.999), st.booleans())
def test_the_butterfly_condition_of_gatheral_and_jacquier_is_sufficient(
    theta: float, rho: float, share: float, at_first_cap: bool
) -> None:
    wing = 1 + abs(rho)
    cap = min(4 / (theta * wing), np.sqrt(4 / (theta * wing)))
    phi = share * cap
    assert ssvi.butterfly_free(theta, rho, phi)
    row = ssvi.to_raw_rows(EssviChain(np.array([theta]), np.array([rho]), np.array([theta * phi])))
    assert butterfly_minimum(row[0])[1] > 0


def test_breaking_the_first_butterfly_condition_breaks_lee() -> None:
    theta, rho = 1.0, 0.5
    phi = 4.4 / (theta * (1 + rho))
    assert not ssvi.butterfly_free(theta, rho, phi)
    row = ssvi.to_raw_rows(EssviChain(np.array([theta]), np.array([rho]), np.array([theta * phi])))
    assert butterfly_minimum(row[0])[1] < 0


def test_power_law_surfaces_within_the_bound_are_free_at_every_theta() -> None:
    rho, eta, gamma = -0.4, 1.4, 0.4
    assert ssvi.power_law_ssvi_free(rho, eta, gamma)
    assert not ssvi.power_law_ssvi_free(rho, 1.5, gamma)
    theta = np.geomspace(1e-5, 4.0, 30)
    phi = ssvi.power_law_phi(theta, eta, gamma)
    chain = EssviChain(theta, np.full(30, rho), theta * phi)
    assert ssvi.butterfly_free(theta, rho, phi).all()
    assert ssvi.calendar_free(chain).all()
    rows = ssvi.to_raw_rows(chain)
    assert all(butterfly_minimum(row)[1] > 0 for row in rows)
    assert all(calendar_minimum(rows[i], rows[i + 1])[1] >= 0 for i in range(29))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_every_point_of_mingones_box_is_a_free_chain(seed: int) -> None:
    generator = np.random.default_rng(seed)
    n = 6
    parts = generator.normal(0, 1, n), generator.normal(-5, 2, n), generator.normal(0, 3, n)
    chain = EssviChain(*chain_of(MINGONE, np.concatenate(parts), n).T)
    assert ssvi.butterfly_free(chain.theta, chain.rho, chain.psi / chain.theta).all()
    assert ssvi.calendar_free(chain).all()
    rows = ssvi.to_raw_rows(chain)
    for i in range(n - 1):
        assert calendar_minimum(rows[i], rows[i + 1])[1] >= 0, f"seed {seed}, pair {i}"


def random_pair(generator: np.random.Generator) -> EssviChain:
    """Two butterfly-free eSSVI slices that know nothing of each other."""
    rho = generator.uniform(-0.95, 0.95, 2)
    theta = np.array([1.0, generator.uniform(0.8, 4.0)]) * generator.uniform(0.005, 0.5)
    cap = np.minimum(4.0 / (1 + np.abs(rho)), np.sqrt(4.0 * theta / (1 + np.abs(rho))))
    return EssviChain(theta, rho, cap * generator.uniform(0.05, 0.99, 2))


def test_the_calendar_conditions_suffice_and_the_exact_check_knows_they_are_not_needed() -> None:
    """Pasquazzi (2023): a crossing is decided by the slices, not by a condition on parameters.

    The published proposition told crossing pairs by an inequality and was wrong; ours only ever
    says that a pair is free, and what it leaves open the roots of the quartic decide.
    """
    generator = np.random.default_rng(2023)
    promised = free_without_promise = crossing = 0
    k = np.sinh(np.linspace(-7.0, 7.0, 20_001)) * 0.02
    for _ in range(1500):
        chain = random_pair(generator)
        near, far = ssvi.to_raw_rows(chain)
        at, gap = calendar_minimum(near, far)
        phi = chain.psi / chain.theta
        w = [
            ssvi.total_variance(k, *each) for each in zip(chain.theta, chain.rho, phi, strict=True)
        ]
        seen = float((w[1] - w[0]).min())
        if ssvi.calendar_free(chain)[0]:
            promised += 1
            assert gap >= -1e-9 * chain.theta[0], f"{chain} crosses at {at}"
        elif gap >= 0:
            free_without_promise += 1
        if gap >= 0:
            assert seen >= -1e-12
        else:
            crossing += 1
            # wings in the wrong order may meet far beyond any grid
            assert seen < 1e-6 or gap == -np.inf
    assert min(promised, free_without_promise, crossing) > 10


@pytest.mark.parametrize("model", ["essvi", "ssvi"])
def test_a_fit_recovers_a_chain_of_its_own_family(model: str) -> None:
    theta = 0.3 * YEARS
    phi = ssvi.power_law_phi(theta, 1.1, 0.4)
    truth = EssviChain(theta, np.full(4, -0.3), theta * phi)
    offsets, k, vol = quotes_of(truth, YEARS)
    found = ssvi.fit(offsets, k, vol, np.full(k.size, 0.005), YEARS, model=model)
    _, _, refit = quotes_of(found, YEARS)
    assert np.abs(refit - vol).max() < 0.004
    assert ssvi.calendar_free(found).all()


@pytest.mark.parametrize("model", ["essvi", "ssvi"])
def test_flat_and_frowning_smiles_leave_a_slice_with_a_little_curvature(model: str) -> None:
    for bend in (0.0, -0.5):
        vol = np.tile(0.5 + bend * K**2, 4)
        k = np.concatenate([K * np.sqrt(T) for T in YEARS])
        offsets = np.arange(5) * K.size
        found = ssvi.fit(offsets, k, vol, np.full(k.size, 0.005), YEARS, model=model)
        rows = ssvi.to_raw_rows(found)
        assert np.isfinite(rows).all()
        assert all(butterfly_minimum(row)[1] > 0 for row in rows)
        assert all(calendar_minimum(rows[i], rows[i + 1])[1] >= 0 for i in range(3))


def test_an_expiry_without_quotes_and_an_unknown_model_are_errors() -> None:
    with pytest.raises(QuantError, match="counts were"):
        ssvi.fit([0, 0], [], [], [], [0.1])
    with pytest.raises(QuantError, match="essvi or ssvi"):
        ssvi.fit([0, 1], [0.0], [0.5], [0.01], [0.1], model="svi")
    with pytest.raises(QuantError, match=r"offsets end at 5; .* have \(3, 3, 3\) values"):
        ssvi.fit([0, 5], [-0.1, 0.0, 0.1], [0.5] * 3, [0.01] * 3, [0.1])
    with pytest.raises(QuantError, match="must be finite"):
        ssvi.fit([0, 2], [0.0, np.nan], [0.5] * 2, [0.01] * 2, [0.1])
    with pytest.raises(QuantError, match=r"increasing, were \[0.2, 0.1\]"):
        ssvi.fit([0, 1, 2], [0.0] * 2, [0.5] * 2, [0.01] * 2, [0.2, 0.1])


def test_an_essvi_fit_is_much_better_than_ssvi_where_the_skew_turns_with_the_expiry() -> None:
    seed = 11
    generator = np.random.default_rng(seed)
    years = np.array([7.0, 30.0, 90.0, 270.0]) / 365.0
    k = np.linspace(-0.4, 0.4, 15)
    offsets = np.arange(years.size + 1) * k.size
    index = np.repeat(np.arange(years.size), k.size)
    skew = generator.uniform(-0.3, 0.1, years.size)[index]
    points = np.tile(k, years.size) * np.sqrt(years)[index]
    mid = 0.5 + skew * points + 0.3 * points**2
    half = np.full(mid.shape, 0.005)
    cost = {}
    for model in ("ssvi", "essvi"):
        chain = ssvi.fit(offsets, points, mid, half, years, model=model)
        w = ssvi.total_variance(
            points, chain.theta[index], chain.rho[index], (chain.psi / chain.theta)[index]
        )
        error = (np.sqrt(w / years[index]) - mid) / half
        cost[model] = float((np.sqrt(1 + error**2) - 1).sum())
    assert cost["essvi"] < 0.7 * cost["ssvi"], f"seed {seed}: {cost}"
