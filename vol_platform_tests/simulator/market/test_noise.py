"""Random numbers without state."""

import numpy as np

from vol_platform.simulator.market import noise


def test_the_same_moment_is_the_same_number_in_any_order_and_company() -> None:
    times = 1_780_000_000_000 + np.arange(0, 500_000, 977, dtype=np.int64)
    together = noise.fractal(7, 11, times, -3, 20)
    alone = [float(noise.fractal(7, 11, times[i : i + 1], -3, 20)[0]) for i in (499, 3, 250)]
    np.testing.assert_allclose(alone, together[[499, 3, 250]], rtol=1e-12)


def test_scalar_and_array_streams_agree() -> None:
    counters = np.arange(20)
    as_array = noise.uniform(5, np.array([77]), counters)
    assert noise.uniform(5, 77, counters).tolist() == as_array.tolist()


def test_uniforms_are_uniform_and_independent_between_seeds_streams_and_counters() -> None:
    counters = np.arange(50_000)
    samples = [noise.uniform(1, 1, counters), noise.uniform(1, 2, counters)]
    samples += [noise.uniform(2, 1, counters), np.roll(samples[0], 1)]
    for sample in samples:
        assert sample.min() > 0
        assert sample.max() < 1
        counts = np.histogram(sample, bins=20, range=(0, 1))[0]
        expected = sample.size / 20
        assert ((counts - expected) ** 2 / expected).sum() < 50
    correlations = np.corrcoef(samples) - np.eye(len(samples))
    assert np.abs(correlations).max() < 0.03


def test_a_path_moves_with_the_square_root_of_time_and_stays_bounded() -> None:
    times = np.arange(0, 160_000, 4, dtype=np.int64) * 1000
    for seconds in (8, 64, 1024):
        spread = []
        for stream in range(3):
            path = noise.fractal(3, stream, times, -3, 14)
            step = path[seconds // 4 :] - path[: -seconds // 4]
            spread.append(step.var() / seconds)
        assert 0.8 < np.mean(spread) < 1.2
    assert np.abs(noise.fractal(3, 9, times, -3, 14)).max() < 6 * np.sqrt(2**14)


def test_stepped_numbers_hold_for_their_period_and_then_change() -> None:
    times = np.arange(0, 60_000, 100, dtype=np.int64)
    values = noise.step_uniform(7, 123, times, 10_000)
    assert 6 <= np.unique(values).size <= 7
    assert np.count_nonzero(np.diff(values)) == np.unique(values).size - 1
