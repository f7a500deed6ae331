"""Lag histograms: every message is counted once, in the right bucket, and shown to Prometheus."""

from __future__ import annotations

import math

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from streamer.observe.lags import BOUNDS_SECONDS, LagHistogram, Lags


def test_many_at_once_are_counted_like_one_by_one():
    lags = np.random.default_rng(20261122).lognormal(-5, 3, 2000)
    lags[:3] = BOUNDS_SECONDS[0], BOUNDS_SECONDS[-1], -1.0
    at_once, one_by_one = LagHistogram(), LagHistogram()
    at_once.add_each(lags)
    for lag in lags.tolist():
        one_by_one.add(lag, 1)
    assert at_once.counts == one_by_one.counts
    assert sum(at_once.counts) == 2000
    assert at_once.seconds == pytest.approx(one_by_one.seconds)


def test_a_quantile_is_the_bound_under_which_that_share_lies():
    histogram = LagHistogram()
    assert math.isnan(histogram.quantile(0.5))
    histogram.add(0.0004, 98)
    histogram.add(0.004, 1)
    histogram.add(1e6, 1)
    assert histogram.quantile(0.5) == 0.0005
    assert histogram.quantile(0.99) == 0.005
    assert histogram.quantile(1.0) == math.inf


def test_every_stage_is_shown_with_buckets_count_and_sum():
    registry = CollectorRegistry()
    lags = Lags()
    registry.register(lags)
    lags.receive_to_spool.add(0.002, 7)
    text = generate_latest(registry).decode()
    assert 'vol_streamer_lag_seconds_bucket{le="0.0015",stage="receive_to_spool"} 0.0' in text
    assert 'vol_streamer_lag_seconds_bucket{le="0.002",stage="receive_to_spool"} 7.0' in text
    assert 'vol_streamer_lag_seconds_count{stage="receive_to_spool"} 7.0' in text
    assert 'vol_streamer_lag_seconds_count{stage="exchange_to_receive"} 0.0' in text
    assert 'vol_streamer_lag_seconds_sum{stage="receive_to_queryable"} 0.0' in text
