"""Every example in the docstrings of the package runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

from vol_platform import quant

MODULES = sorted(module.name for module in pkgutil.iter_modules(quant.__path__))
PUBLIC = [name for name in MODULES if not name.startswith("_")]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    module = importlib.import_module(f"vol_platform.quant.{name}")
    failed, _ = doctest.testmod(module)
    assert failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name: str) -> None:
    module = importlib.import_module(f"vol_platform.quant.{name}")
    assert module.__all__, "a public module says what it offers"
    for item in module.__all__:
        thing = getattr(module, item)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert thing.__doc__, f"{name}.{item} has no docstring"
