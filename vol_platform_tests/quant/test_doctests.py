"""Every example in the docstrings of the package runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from vol_platform import quant

MODULES = sorted(module.name for module in pkgutil.iter_modules(quant.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    module = importlib.import_module(f"vol_platform.quant.{name}")
    failed, _ = doctest.testmod(module)
    assert failed == 0
