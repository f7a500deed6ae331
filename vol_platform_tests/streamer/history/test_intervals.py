"""What is left of a stretch of time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamer.history.intervals import Interval, without

moments = st.integers(0, 40)
intervals = st.builds(Interval, moments, moments)


@given(intervals, st.lists(intervals, max_size=6))
def test_what_is_left_is_every_moment_that_nothing_covers(wanted, done):
    left = without(wanted, done)
    covered = {at for part in done for at in range(part.from_ms, part.to_ms)}
    expected = [at for at in range(wanted.from_ms, wanted.to_ms) if at not in covered]
    assert [at for part in left for at in range(part.from_ms, part.to_ms)] == expected
    assert left == sorted(left)
