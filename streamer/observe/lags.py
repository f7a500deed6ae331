"""How long messages take from one stage to the next, counted message by message.

The client library of Prometheus counts one observation per call; a read of the socket brings
hundreds of messages at once and a segment thousands, so these histograms take many at a time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

import numpy as np
import numpy.typing as npt
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

__all__ = ["BOUNDS_SECONDS", "LagHistogram", "Lags"]

BOUNDS_SECONDS = tuple(
    float(f"{digit}e{power}") for power in range(-4, 4) for digit in (1, 1.5, 2, 3, 5, 7)
)
"""Upper bounds of the buckets: six a decade from 100 µs to almost two hours."""


class LagHistogram:
    """Messages by lag.

    Attributes
    ----------
    counts
        Messages in each bucket; the last holds everything beyond the last bound.
    seconds
        Sum of all lags.
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float, messages: int) -> None:
        """Count messages that share a lag; one below zero, of a stepped clock, counts as zero."""
        lag = max(seconds, 0.0)
        self.counts[bisect_left(BOUNDS_SECONDS, lag)] += messages
        self.seconds += lag * messages

    def add_each(self, seconds: npt.NDArray[np.float64]) -> None:
        """Count messages with a lag each."""
        lags = np.maximum(seconds, 0.0)
        places = np.searchsorted(BOUNDS_SECONDS, lags)
        for place, count in enumerate(np.bincount(places, minlength=len(self.counts)).tolist()):
            self.counts[place] += count
        self.seconds += float(lags.sum())

    def quantile(self, share: float) -> float:
        """Return the upper bound of the bucket in which a share of the messages is reached.

        Parameters
        ----------
        share
            Between 0 and 1.

        Returns
        -------
        float
            Seconds; NaN without messages, infinity beyond the last bound.
        """
        total = sum(self.counts)
        if total == 0:
            return float("nan")
        for bound, reached in zip(BOUNDS_SECONDS, accumulate(self.counts), strict=False):
            if reached >= share * total:
                return bound
        return float("inf")


class Lags(Collector):
    """The stages of a message's way, as one Prometheus histogram with a label.

    Attributes
    ----------
    exchange_to_receive
        From the exchange's timestamp to the read of the socket; both clocks are in it.
    receive_to_spool
        From the read of the socket until the operating system has the message.
    receive_to_queryable
        From the read of the socket until the database has acknowledged the row.
    """

    def __init__(self) -> None:
        self.exchange_to_receive = LagHistogram()
        self.receive_to_spool = LagHistogram()
        self.receive_to_queryable = LagHistogram()

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the histogram; called by the registry."""
        family = HistogramMetricFamily(
            "vol_streamer_lag_seconds",
            "How long messages take from one stage to the next",
            labels=["stage"],
        )
        for stage, histogram in vars(self).items():
            reached = list(accumulate(histogram.counts))
            bounds = [*map(repr, BOUNDS_SECONDS), "+Inf"]
            family.add_metric(
                [stage],
                buckets=list(zip(bounds, reached, strict=True)),
                sum_value=histogram.seconds,
            )
        yield family
