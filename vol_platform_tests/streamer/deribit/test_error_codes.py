"""The table of the exchange's errors: each code has a name, a reaction, and a line in the docs."""

from __future__ import annotations

import re

import pytest

from streamer.deribit import error_codes
from streamer.deribit.error_codes import Reaction, rule_of
from vol_platform_tests.conftest import REPOSITORY

KNOWN = error_codes._RULES


def test_a_known_code_has_its_name_and_an_unknown_one_its_number():
    assert rule_of(10028) == ("too_many_requests", Reaction.DRAIN)
    assert rule_of(12345) == ("error_12345", Reaction.RETRY)


@pytest.mark.parametrize("reaction", Reaction)
def test_every_reaction_is_that_of_some_code(reaction):
    assert reaction in {rule.reaction for rule in KNOWN.values()}


def test_the_documentation_lists_every_code_once():
    page = (REPOSITORY / "docs" / "streamer.md").read_text()
    section = page.split("## Errors of the exchange")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    listed = [int(code) for row in rows for code in re.findall(r"(?<![\d.])-?\d{5}\b", row)]
    assert sorted(listed) == sorted(KNOWN)
