"""The exchange's error codes and what the collector does about each.

Sources: docs.deribit.com/articles/errors and what clients report; see the table in
``docs/streamer.md``.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = ["ErrorRule", "Reaction", "rule_of"]


class Reaction(Enum):
    """What the session does when a request is answered with an error."""

    RETRY = "try the same again after a pause"
    DRAIN = "treat the credits as spent, then try again; the exchange ends the session"
    LOG_IN = "log in again, then try again"
    SPLIT = "send the channels in smaller requests"
    REFUSE = "give the channel up and say so"
    REFUSE_RAW = "give the raw channels up and say so; ask for the others again"
    FAIL = "stop: no attempt can succeed before a person acts"


class ErrorRule(NamedTuple):
    """Name of a code and the reaction to it."""

    name: str
    reaction: Reaction


_RULES = {
    -32700: ErrorRule("parse_error", Reaction.SPLIT),
    -32600: ErrorRule("invalid_request", Reaction.SPLIT),
    -32601: ErrorRule("method_not_found", Reaction.FAIL),
    -32602: ErrorRule("invalid_params", Reaction.SPLIT),
    10000: ErrorRule("authorization_required", Reaction.LOG_IN),
    10020: ErrorRule("invalid_or_unsupported_instrument", Reaction.SPLIT),
    10028: ErrorRule("too_many_requests", Reaction.DRAIN),
    10040: ErrorRule("retry", Reaction.RETRY),
    10041: ErrorRule("settlement_in_progress", Reaction.RETRY),
    10047: ErrorRule("matching_engine_queue_full", Reaction.RETRY),
    10066: ErrorRule("too_many_concurrent_requests", Reaction.DRAIN),
    11029: ErrorRule("invalid_arguments", Reaction.SPLIT),
    11042: ErrorRule("permission_denied", Reaction.REFUSE),
    11050: ErrorRule("bad_request", Reaction.SPLIT),
    11051: ErrorRule("system_maintenance", Reaction.RETRY),
    11052: ErrorRule("subscribe_error_unsubscribed", Reaction.RETRY),
    11056: ErrorRule("unauthenticated_public_requests_temporarily_disabled", Reaction.RETRY),
    11094: ErrorRule("internal_server_error", Reaction.RETRY),
    13004: ErrorRule("invalid_credentials", Reaction.FAIL),
    13009: ErrorRule("unauthorized", Reaction.LOG_IN),
    13020: ErrorRule("not_found", Reaction.SPLIT),
    13028: ErrorRule("temporarily_unavailable", Reaction.RETRY),
    13503: ErrorRule("unavailable", Reaction.RETRY),
    13778: ErrorRule("raw_subscriptions_not_available_for_unauthorized", Reaction.REFUSE_RAW),
    13888: ErrorRule("timed_out", Reaction.RETRY),
}


def rule_of(code: int) -> ErrorRule:
    """Return the rule of a code; an unknown one is tried again, and its number is its name."""
    return _RULES.get(code, ErrorRule(f"error_{code}", Reaction.RETRY))
