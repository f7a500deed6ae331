"""Every public name says what it takes, what it gives, what it raises and where it comes from."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from vol_platform import quant

PUBLIC = sorted(
    module.name for module in pkgutil.iter_modules(quant.__path__) if module.name[0] != "_"
)
FORMULAS = sorted(
    {"arbitrage", "black76", "deribit_display", "event_time", "forwards", "greeks", "implied",
     "models", "rates", "realised", "sabr", "ssvi", "svi", "term_structure", "variance_swap"}
)  # fmt: skip
ELSEWHERE = re.compile(r"[Aa]s (in|for|of)? ?`|(Parameters|parameters).{0,40} as in `", re.DOTALL)
YEAR = re.compile(r"\b(19|20)\d\d\b|docs/method\.md|the modules `svi`")
MAXIMUM_LINES = 400


def load(name: str) -> ModuleType:
    return importlib.import_module(f"vol_platform.quant.{name}")


def functions() -> list[tuple[str, str]]:
    """Public functions, and public methods and properties of public classes."""
    found = []
    for name in PUBLIC:
        module = load(name)
        for item in module.__all__:
            thing = getattr(module, item)
            if inspect.isfunction(thing):
                found.append((name, item))
            elif inspect.isclass(thing):
                found += [
                    (name, f"{item}.{part}")
                    for part, value in vars(thing).items()
                    if part[0] != "_" and inspect.isfunction(value)
                ]
    return found


def resolve(name: str, path: str) -> object:
    thing: object = load(name)
    for part in path.split("."):
        thing = getattr(thing, part)
    return thing


def raises_itself(function: object) -> bool:
    """Whether the body of a function holds a raise statement of its own."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))  # type: ignore[arg-type]  # a function
    return any(isinstance(node, ast.Raise) for node in ast.walk(tree))


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_says_what_it_offers_and_what_each_name_is(name: str) -> None:
    module = load(name)
    assert module.__doc__
    assert module.__all__, "a public module says what it offers"
    for item in module.__all__:
        thing = getattr(module, item)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert thing.__doc__, f"{name}.{item} has no docstring"


@pytest.mark.parametrize(("name", "path"), functions())
def test_a_public_function_has_all_its_sections(name: str, path: str) -> None:
    function = resolve(name, path)
    text = inspect.getdoc(function) or ""
    signature = inspect.signature(function)  # type: ignore[arg-type]  # a function
    arguments = [item for item in signature.parameters if item not in ("self", "cls")]
    refers = ELSEWHERE.search(text) is not None
    if len(arguments) > 1:
        assert "Parameters\n---" in text or refers, f"{name}.{path} does not explain its arguments"
    for argument in arguments:
        assert re.search(rf"\b{argument}\b", text) or refers, f"{name}.{path}: {argument}"
    if re.search("Array|Floats|ndarray", str(signature.return_annotation)):
        says = re.search("shape|broadcast|Returns\n---", text, re.IGNORECASE)
        assert says or refers, f"{name}.{path} does not say what shape comes back"
    if raises_itself(function):
        assert "Raises\n---" in text or refers, f"{name}.{path} does not say what it raises"


@pytest.mark.parametrize("name", FORMULAS)
def test_a_module_of_formulas_names_its_sources(name: str) -> None:
    module = load(name)
    texts = [module.__doc__ or "", *(getattr(module, x).__doc__ or "" for x in module.__all__)]
    assert any(YEAR.search(text) for text in texts), f"{name} cites nothing"


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    for path in Path(quant.__path__[0]).rglob("*.py"):
        lines = len(path.read_text().splitlines())
        assert lines <= MAXIMUM_LINES, f"{path.name} has {lines} lines"
