"""The bucket of credits: spent at once, refilled steadily, never beyond its capacity."""

from __future__ import annotations

from streamer.deribit.credits import CreditBucket


def test_credits_are_taken_whole_or_not_at_all():
    bucket = CreditBucket(10.0, 2.0, now=100.0)
    assert bucket.take(7.0, 100.0)
    assert not bucket.take(4.0, 100.0)
    assert bucket.available(100.0) == 3.0


def test_they_come_back_with_time_up_to_the_capacity():
    bucket = CreditBucket(10.0, 2.0, now=100.0)
    assert bucket.take(10.0, 100.0)
    assert bucket.seconds_until(3.0, 100.0) == 1.5
    assert bucket.available(101.5) == 3.0
    assert bucket.seconds_until(3.0, 101.5) == 0.0
    assert bucket.available(500.0) == 10.0


def test_a_drained_bucket_begins_at_nothing():
    bucket = CreditBucket(10.0, 2.0, now=100.0)
    bucket.drain(100.0)
    assert bucket.available(100.0) == 0.0
    assert bucket.available(99.0) == 0.0  # time that runs back gives nothing
