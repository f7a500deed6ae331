"""SQL models: one SELECT per file, read, checked and rendered.

A model is a ``.sql`` file that begins with ``/* @model … */``; the comment holds YAML.  The SELECT
names every table by ``{{ ref('another model') }}`` or ``{{ source('table of a migration') }}`` and
takes values as ClickHouse parameters ``{name:Type}``, never as text.  ``{{ partition.start }}`` and
``{{ partition.end }}`` stand for the bounds of the partition.

sqlglot reads the statement only to check it: that every table is declared, that the columns are the
documented ones.  What runs is the author's own text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Literal, NoReturn

import jinja2
import sqlglot
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlglot import exp

import dbt_like_sql
from vol_platform.errors import SqlModelError
from vol_platform.store.sql_models_tables import created_names

__all__ = ["MODELS_DIRECTORY", "FrontMatter", "SqlModel", "load_models", "parse_model", "render"]

MODELS_DIRECTORY = Path(dbt_like_sql.__file__).parent / "models"

_HEADER = re.compile(r"\A\s*/\*\s*@model\s*?\n(?P<yaml>.*?)\*/", re.DOTALL)
_PARAMETER = re.compile(r"(?<!\{)\{(?P<name>[A-Za-z_]\w*):(?P<type>[^{}]+)\}(?!\})")
_PARTITION = {
    "start": "{partition_start:DateTime('UTC')}",
    "end": "{partition_end:DateTime('UTC')}",
}
_PARTITION_PARAMETERS = {"partition_start": "DateTime('UTC')", "partition_end": "DateTime('UTC')"}


class FrontMatter(BaseModel):
    """What a model says about itself; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    grain: str = Field(min_length=1)
    key: tuple[str, ...] = Field(min_length=1)
    materialized: Literal["ephemeral"] = "ephemeral"
    parameters: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    columns: dict[str, str]


@dataclass(frozen=True)
class SqlModel:
    """A checked model.

    Attributes
    ----------
    path
        The file.
    front
        Its front matter.
    template
        The SELECT with its jinja expressions.
    first_line
        Line of the file that the template begins on, counted from 1.
    refs, sources
        Models and tables that it reads, in order of appearance.
    """

    path: Path
    front: FrontMatter
    template: str
    first_line: int
    refs: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The model's name, which is also the file's."""
        return self.front.name

    @property
    def select_line(self) -> int:
        """Line of the file that the statement itself begins on."""
        blank = len(self.template) - len(self.template.lstrip())
        return self.first_line + self.template[:blank].count("\n")


@dataclass
class _References:
    """Collects what a template refers to while it renders."""

    refs: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def ref(self, name: str) -> str:
        self.refs.append(name)
        return f"ref__{name}"

    def source(self, name: str) -> str:
        self.sources.append(name)
        return name


def _fail(path: Path, line: int, text: str) -> NoReturn:
    msg = f"{path.parent.name}/{path.name}:{line}: {text}"
    raise SqlModelError(msg)


def _line_of(path: Path, pattern: str) -> int:
    """Return the first line of the file that holds the pattern, 1 when none does."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if re.search(pattern, line):
            return number
    return 1


def parse_model(path: Path) -> SqlModel:
    """Read one file and check all that can be checked without its neighbours.

    Raises
    ------
    SqlModelError
        With file and line: no or wrong front matter, a template that does not render, SQL that does
        not parse, an undeclared or undocumented table, column or parameter.
    """
    text = path.read_text()
    header = _HEADER.match(text)
    if header is None:
        _fail(path, 1, "begins without front matter; start the file with /* @model … */")
    front = _front_matter(path, header["yaml"], text[: header.start("yaml")].count("\n") + 1)
    if front.name != path.stem:
        line = _line_of(path, r"^name:")
        _fail(path, line, f"name is {front.name!r}, the file is {path.name}; make them the same")
    template = text[header.end() :]
    first_line = text[: header.end()].count("\n") + 1
    references = _References()
    sql = _render_template(path, template, first_line, references)
    model = SqlModel(
        path,
        front,
        template,
        first_line,
        tuple(dict.fromkeys(references.refs)),
        tuple(dict.fromkeys(references.sources)),
    )
    _check_statement(model, sql)
    return model


def _front_matter(path: Path, text: str, offset: int) -> FrontMatter:
    try:
        loaded = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        _fail(path, offset + (mark.line + 1 if mark else 0), f"front matter: {error.problem}")
    if not isinstance(loaded, dict):
        _fail(path, offset, f"front matter must be a mapping, was {type(loaded).__name__}")
    try:
        return FrontMatter.model_validate(loaded)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        line = _line_of(path, rf"^{re.escape(str(first['loc'][0]))}:") if first["loc"] else offset
        _fail(path, line, f"front matter, {key}: {first['msg']}, was {first.get('input')!r}")


def _render_template(path: Path, template: str, first_line: int, names: _References) -> str:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - SQL, not HTML; values travel as query parameters
    try:
        return environment.from_string(template).render(
            ref=names.ref, source=names.source, partition=_PARTITION
        )
    except jinja2.TemplateSyntaxError as error:
        _fail(path, first_line + error.lineno - 1, f"template: {error.message}")
    except jinja2.UndefinedError as error:
        unknown = re.search(r"'(\w+)'\Z|'(\w+)' is undefined", str(error.message))
        word = next((part for part in unknown.groups() if part), "") if unknown else ""
        line = _line_of(path, rf"\{{\{{[^}}]*\b{word}\b") if word else first_line
        _fail(
            path,
            line,
            f"template: {error.message}; it may use ref(), source() and partition.start/.end",
        )


def _check_statement(model: SqlModel, sql: str) -> None:
    path = model.path
    for name in model.sources:
        if name not in created_names():
            line = _line_of(path, rf"source\(\s*['\"]{name}['\"]")
            _fail(path, line, f"unknown source {name!r}; no migration creates it")
    try:
        statements = [one for one in sqlglot.parse(sql, dialect="clickhouse") if one is not None]
    except sqlglot.ParseError as error:
        where = error.errors[0] if error.errors else {}
        line = model.first_line + int(where.get("line") or 1) - 1
        _fail(path, line, f"SQL does not parse: {where.get('description', error)}")
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        kinds = " and ".join(one.key.upper() for one in statements) or "nothing"
        _fail(path, model.select_line, f"must hold exactly one SELECT, holds {kinds}")
    tree = statements[0]
    _check_tables(model, tree)
    _check_columns(model, tree)
    _check_parameters(model, sql)


def _check_tables(model: SqlModel, tree: exp.Query) -> None:
    ours = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    declared = {f"ref__{name}" for name in model.refs} | set(model.sources) | ours
    for table in tree.find_all(exp.Table):
        if table.name and table.name not in declared:
            line = _line_of(model.path, rf"\b{re.escape(table.name)}\b")
            _fail(
                model.path,
                line,
                f"reads {table.name!r} directly; write {{{{ source('{table.name}') }}}} or ref()",
            )


def _check_columns(model: SqlModel, tree: exp.Query) -> None:
    if tree.is_star:
        _fail(model.path, model.select_line, "selects *; name the columns")
    names = list(tree.named_selects)
    for name in names:
        if name not in model.front.columns:
            line = _line_of(model.path, rf"\b{re.escape(name)}\b" if name else "SELECT")
            _fail(model.path, line, f"column {name!r} is not described under columns")
    for name in (*model.front.columns, *model.front.key):
        if name not in names:
            line = _line_of(model.path, rf"\b{re.escape(name)}\b")
            _fail(model.path, line, f"column {name!r} is declared but not selected")


def _check_parameters(model: SqlModel, sql: str) -> None:
    allowed = {**_PARTITION_PARAMETERS, **model.front.parameters}
    used = {match["name"]: match["type"] for match in _PARAMETER.finditer(sql)}
    for name, kind in used.items():
        if allowed.get(name) != kind:
            line = _line_of(model.path, rf"\{{{name}:")
            was = allowed.get(name, "nothing")
            _fail(model.path, line, f"parameter {name} is {kind} here, {was} under parameters")
    for name in model.front.parameters:
        if name not in used:
            line = _line_of(model.path, rf"^\s+{name}:")
            _fail(model.path, line, f"parameter {name} is declared but not used")


def load_models(directory: Path = MODELS_DIRECTORY) -> dict[str, SqlModel]:
    """Read every model under a directory, in an order in which each follows what it refers to.

    Raises
    ------
    SqlModelError
        With file and line: what `parse_model` finds, a name given twice, an unknown ref, a cycle.
    """
    models: dict[str, SqlModel] = {}
    for path in sorted(directory.rglob("*.sql")):
        model = parse_model(path)
        if model.name in models:
            _fail(path, 1, f"model {model.name!r} exists already: {models[model.name].path}")
        models[model.name] = model
    for model in models.values():
        for name in model.refs:
            if name not in models:
                line = _line_of(model.path, rf"ref\(\s*['\"]{name}['\"]")
                _fail(model.path, line, f"unknown ref {name!r}; models are {sorted(models)}")
    try:
        order = TopologicalSorter(
            {model.name: model.refs for model in models.values()}
        ).static_order()
        return {name: models[name] for name in order}
    except CycleError as error:
        chain: list[str] = list(error.args[1])
        first = models[chain[1]]
        line = _line_of(first.path, rf"ref\(\s*['\"]{chain[0]}['\"]")
        _fail(first.path, line, f"models refer to each other in a cycle: {' -> '.join(chain)}")


def render(model: SqlModel, models: Mapping[str, SqlModel]) -> str:
    """Return the statement to run: the author's text, with ephemeral models put in as subqueries.

    Parameters
    ----------
    model
        What to render.
    models
        All models, as `load_models` returns them.
    """

    def ref(name: str) -> str:
        return f"(\n{render(models[name], models)}\n)"

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - SQL, not HTML; values travel as query parameters
    template = environment.from_string(model.template)
    return template.render(ref=ref, source=str, partition=_PARTITION).strip()


def parameters_of(model: SqlModel, models: Mapping[str, SqlModel]) -> set[str]:
    """Return the names of every parameter that the rendered statement takes."""
    return {match["name"] for match in _PARAMETER.finditer(render(model, models))}


def lineage(models: Iterable[SqlModel]) -> dict[str, tuple[str, ...]]:
    """Return what each model reads: its refs, then its sources."""
    return {model.name: (*model.refs, *model.sources) for model in models}
