"""Several derivations read the same thing off the same frame: work it out once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["keeps_newest_answer"]

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def keeps_newest_answer(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Keep the answer of the newest call, for a caller with the very same objects.

    The derivations of an hour hand on one frame, which nobody changes; identity is all that is
    compared, so that asking costs nothing.  Arguments are positional.
    """
    last: tuple[tuple[object, ...], Answer] | None = None

    @wraps(function)
    def answer(*arguments: Arguments.args, **named: Arguments.kwargs) -> Answer:
        nonlocal last
        known = last  # one read: another thread may replace it
        if known is None or any(
            old is not new for old, new in zip(known[0], arguments, strict=True)
        ):
            known = last = (arguments, function(*arguments, **named))
        return known[1]

    return answer
