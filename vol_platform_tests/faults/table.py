"""The fault table: ``python -m vol_platform_tests.faults.table [--nightly] [F1 F14 …]``.

Runs the proofs of the fault cards F1 to F23 and prints, card by card, what is injected, what counts
as passed, and what the proofs measured.  Without ``--nightly`` the long ones are left out.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pytest

from vol_platform_tests.conftest import REPOSITORY

__all__ = ["CARDS", "Card", "main"]

_ROOM = "vol_platform_tests"


@dataclass(frozen=True, slots=True)
class Card:
    """A fault: what is injected, what counts as passed, and which tests prove it."""

    fault: str
    passed: str
    proofs: tuple[str, ...]


def _in(file: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{_ROOM}/{file}::{name}" for name in names)


CARDS: dict[str, Card] = {
    "F1": Card(
        "kill -9 of the collector at random points, 3x load",
        "nothing that was read is lost, the rest in a gap row, nothing twice",
        _in("streamer/test_kill.py", "test_f1_f2"),
    ),
    "F2": Card(
        "SIGTERM",
        "nothing lost, everything sealed",
        _in("streamer/test_kill.py", "test_f1_f2"),
    ),
    "F3": Card(
        "database away",
        "nothing lost or twice, memory bounded (benchmark streamer_outage measures it)",
        _in("streamer/database/test_writer.py", "test_a_writer_that_is_stopped"),
    ),
    "F4": Card(
        "the answer to an insert is lost",
        "nothing lost or twice, views too",
        _in("faults/test_database.py", "test_f4")
        + _in("streamer/database/test_writer.py", "test_lost_answers"),
    ),
    "F5": Card(
        "too many parts, memory, 503, half a reply, hang",
        "asked again; nothing lost or twice",
        _in("faults/test_database.py", "test_f5"),
    ),
    "F6": Card(
        "kill -9 of the database during inserts",
        "nothing lost or twice",
        _in("streamer/test_kill.py", "test_killing_the_database"),
    ),
    "F7": Card(
        "socket: close, FIN, RST, half-open, half a frame, drip, handshake 403/429/503",
        "all channels within 5 s and the pause; silence found in 7 s; a gap row each",
        _in("faults/test_exchange.py", "test_f7"),
    ),
    "F8": Card(
        "test_request; heartbeats without data",
        "answered within 1 s; torn down within 10 s",
        _in("faults/test_exchange.py", "test_f7_f8", "test_f8"),
    ),
    "F9": Card(
        "reply lists fewer channels; 10028 in the middle",
        "900 channels live within 30 s",
        _in("faults/test_exchange.py", "test_f9"),
    ),
    "F10": Card(
        "change_id broken, snapshot lost",
        "that book alone is subscribed anew, a gap row",
        _in("streamer/deribit/test_subscribed_books.py", "test_a_broken_book", "test_a_book_")
        + _in("streamer/watch/test_repairs.py", "test_a_lost_change"),
    ),
    "F11": Card(
        "trade_seq jumps",
        "REST fills it, the gap row is closed, nothing twice",
        _in("streamer/watch/test_repairs.py", "test_a_lost_change")
        + _in("streamer/deribit/test_trade_pages.py", "test_"),
    ),
    "F12": Card(
        "odd messages: cut, bad UTF-8, NaN, null, text, new field, unknown channel, deep, large",
        "the feed lives, every one is a dead letter or a row",
        _in("faults/test_exchange.py", "test_f12")
        + _in("streamer/database/test_writer.py", "test_a_frame_of_twenty"),
    ),
    "F13": Card(
        "random and damaged frames",
        "nothing raises, nothing hangs",
        _in("streamer/decoding/test_decode_fuzz.py", "test_f13", "test_any_bytes"),
    ),
    "F14": Card(
        "ENOSPC, EIO, EROFS, floor of free space",
        "accepted messages stay sound, others are counted; it resumes by itself",
        _in("faults/test_disk.py", "test_f14") + _in("streamer/spool/test_spool_disk.py", "test_"),
    ),
    "F15": Card(
        "flipped bit, torn tail, damaged header, wrong version, a file gone or unreadable",
        "found; what stands before is kept; no loop",
        _in("faults/test_disk.py", "test_f15")
        + _in("streamer/database/test_writer.py", "test_a_damaged_segment", "test_a_segment_"),
    ),
    "F16": Card(
        "death between every two calls of write, seal, insert, done, delete",
        "nothing lost or twice at any point",
        _in("faults/test_system_calls.py", "test_f16"),
    ),
    "F17": Card(
        "exchange's clock 1 h and 400 days ahead",
        "rows or dead letters; no partitions, no hang-up",
        _in("faults/test_exchange.py", "test_f17"),
    ),
    "F18": Card(
        "new listings and expiry at 08:00 with a collector connected",
        "subscribed within 60 s; no gap, dead letter or warning",
        (
            *_in("streamer/test_roll_end_to_end.py", "test_expiries_roll"),
            *_in("streamer/captures/test_capture.py", "test_the_catalogue_follows"),
        ),
    ),
    "F19": Card(
        "schema migration while streaming",
        "nothing lost or twice",
        _in("faults/test_schema_change.py", "test_f19"),
    ),
    "F20": Card(
        "Redis killed under the whole stack",
        "the collector goes on",
        _in("faults/test_kill.py", "test_a_killed_part_comes_back"),
    ),
    "F21": Card("soak at 3x", "flat memory, no gap row", ()),
    "F22": Card(
        "two collectors: on one spool; side by side, either killed",
        "the second is refused; side by side the union has each update once",
        _in("streamer/test_collector.py", "test_a_second_collector")
        + _in("streamer/test_two_collectors.py", "test_killing_either"),
    ),
    "F23": Card(
        "the same ticks derived again",
        "the same bytes",
        _in("record/test_engine.py", "test_any_order_and_grouping"),
    ),
}


class _Results:
    """Collects what pytest found, by the start of a test's identity."""

    def __init__(self) -> None:
        self.outcomes: defaultdict[str, list[str]] = defaultdict(list)
        self.measured: defaultdict[str, list[str]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Take a phase of a test; called by pytest."""
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid].append(report.outcome)
            self.measured[report.nodeid] += [
                text for name, text in report.user_properties if name == "measured"
            ]


def _line(name: str, card: Card, results: _Results) -> str:
    nodes = [
        node for node in results.outcomes if any(node.startswith(proof) for proof in card.proofs)
    ]
    outcomes = [outcome for node in nodes for outcome in results.outcomes[node]]
    if not card.proofs:
        verdict = "no proof here"
    elif not outcomes:
        verdict = "not run"
    elif "failed" in outcomes:
        verdict = "FAILED"
    else:
        verdict = f"passed ({len(nodes)} tests)"
    measured = "; ".join(text for node in nodes for text in results.measured[node])
    return f"| {name} | {card.fault} | {card.passed} | {verdict} | {measured} |"


def main(arguments: list[str] | None = None) -> int:
    """Run the proofs and print the table.

    Returns
    -------
    int
        0 when nothing failed.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cards", nargs="*", metavar="CARD", help="F1 to F23; all by default")
    parser.add_argument("--nightly", action="store_true", help="the long proofs as well")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.cards) - set(CARDS))
    if unknown:
        parser.error(f"no card {', '.join(unknown)}; there are {', '.join(CARDS)}")
    chosen = {name: card for name, card in CARDS.items() if name in (given.cards or CARDS)}
    proofs = {proof for card in chosen.values() for proof in card.proofs}
    files = sorted({proof.partition("::")[0] for proof in proofs})
    names = " or ".join(sorted({proof.partition("::")[2] for proof in proofs}))
    marks = [] if given.nightly else ["-m", "not nightly"]
    results = _Results()
    os.chdir(REPOSITORY)
    code = pytest.main(["-q", *marks, "-k", names, *files], plugins=[results]) if files else 0
    out = sys.stdout
    out.write("\n| card | injected | passes when | result | measured |\n|---|---|---|---|---|\n")
    for name, card in chosen.items():
        out.write(_line(name, card, results) + "\n")
    return int(code)


if __name__ == "__main__":
    raise SystemExit(main())
