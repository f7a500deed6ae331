"""What a derivation returns is put in order, and no key occurs twice."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from vol_platform.derivations.contracts import (
    INSTANT,
    Derivation,
    DerivationContext,
    Frames,
    conform,
)
from vol_platform.errors import DerivationError

KEY = ("snapshot_ts", "expiry_ts", "name")
COLUMNS = {"snapshot_ts": INSTANT, "expiry_ts": INSTANT, "name": pl.String()}
EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


def frame(*rows: tuple[datetime, datetime | None, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


SORTED = (
    (EARLY, EARLY, "b"),
    (EARLY, LATE, "a"),
    (EARLY, None, "a"),
    (LATE, EARLY, "a"),
    (LATE, EARLY, "b"),
)


def derived(answer: pl.DataFrame) -> pl.DataFrame:
    def function(frames: Frames, context: DerivationContext) -> pl.DataFrame:
        return answer

    return Derivation(
        name="answer",
        table="answer",
        domain="tests",
        description="What it is given.",
        inputs=(),
        function=function,
        columns=COLUMNS,
        key=KEY,
        code_version="1",
    ).derive({}, DerivationContext())


@pytest.mark.parametrize("turn", range(len(SORTED)))
def test_rows_in_any_order_are_sorted_by_the_key_nulls_last(turn: int) -> None:
    rows = (*SORTED[turn:], *SORTED[:turn])

    assert conform(frame(*rows), COLUMNS, KEY).rows() == list(SORTED)


@pytest.mark.parametrize("rows", [SORTED[:2], SORTED[3:], SORTED[:1], ()])
def test_sorted_rows_stay_as_they_are(rows: tuple[tuple[datetime, datetime, str], ...]) -> None:
    assert derived(frame(*rows)).rows() == list(rows)


@pytest.mark.parametrize("twice", SORTED)
def test_a_key_that_occurs_twice_is_refused(twice: tuple[datetime, datetime | None, str]) -> None:
    with pytest.raises(DerivationError, match="more than once"):
        derived(frame(*SORTED, twice))


def test_two_rows_that_differ_only_in_a_null_of_the_key_are_not_the_same() -> None:
    assert derived(frame(SORTED[2], SORTED[1])).rows() == [SORTED[1], SORTED[2]]
