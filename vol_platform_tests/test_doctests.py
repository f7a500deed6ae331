"""Every example in the docstrings of the packages runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import re

import pytest

from vol_platform_tests.conftest import REPOSITORY

EXAMPLE = re.compile(r"^\s*>>> ", re.MULTILINE)
MODULES = sorted(
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    for package in ("vol_platform", "streamer")
    for path in (REPOSITORY / package).rglob("*.py")
    if EXAMPLE.search(path.read_text(encoding="utf-8"))
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert failed == 0
    assert tried > 0
