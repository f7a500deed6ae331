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
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NoReturn

import jinja2
import sqlglot
import yaml
from pydantic import ValidationError
from sqlglot import exp

import dbt_like_sql
from vol_platform.errors import SqlModelError
from vol_platform.store.sql_models.front_matter import ColumnSpec, FrontMatter, ModelTest
from vol_platform.store.sql_models.tables import created_names

__all__ = [
    "MODELS_DIRECTORY",
    "ColumnSpec",
    "FrontMatter",
    "ModelTest",
    "SqlModel",
    "depends_on",
    "fail_at",
    "line_of",
    "load_models",
    "parameters_of",
    "parse_model",
    "project_models",
    "render",
]

MODELS_DIRECTORY = Path(dbt_like_sql.__file__).parent / "models"

_HEADER = re.compile(r"\A\s*/\*\s*@model\s*?\n(?P<yaml>.*?)\*/", re.DOTALL)
_PARAMETER = re.compile(r"(?<!\{)\{(?P<name>[A-Za-z_]\w*):(?P<type>[^{}]+)\}(?!\})")
_PARTITION = {
    "start": "{partition_start:DateTime('UTC')}",
    "end": "{partition_end:DateTime('UTC')}",
}
_PARTITION_PARAMETERS = {"partition_start": "DateTime('UTC')", "partition_end": "DateTime('UTC')"}


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


def fail_at(path: Path, line: int, text: str) -> NoReturn:
    """Raise a `SqlModelError` that begins with file and line."""
    msg = f"{path.parent.name}/{path.name}:{line}: {text}"
    raise SqlModelError(msg)


def line_of(path: Path, pattern: str) -> int:
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
        fail_at(path, 1, "begins without front matter; start the file with /* @model … */")
    front = _front_matter(path, header["yaml"], text[: header.start("yaml")].count("\n") + 1)
    if front.name != path.stem:
        line = line_of(path, r"^name:")
        fail_at(path, line, f"name is {front.name!r}, the file is {path.name}; make them the same")
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
        fail_at(path, offset + (mark.line + 1 if mark else 0), f"front matter: {error.problem}")
    if not isinstance(loaded, dict):
        fail_at(path, offset, f"front matter must be a mapping, was {type(loaded).__name__}")
    try:
        return FrontMatter.model_validate(loaded)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        named = [line_of(path, rf"^\s*{re.escape(str(part))}:") for part in first["loc"]]
        line = max([offset if not named else 1, *named])
        fail_at(path, line, f"front matter, {key}: {first['msg']}, was {first.get('input')!r}")


def _render_template(path: Path, template: str, first_line: int, names: _References) -> str:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - SQL, not HTML; values travel as query parameters
    try:
        return environment.from_string(template).render(
            ref=names.ref, source=names.source, partition=_PARTITION
        )
    except jinja2.TemplateSyntaxError as error:
        fail_at(path, first_line + error.lineno - 1, f"template: {error.message}")
    except jinja2.UndefinedError as error:
        unknown = re.search(r"'(\w+)'\Z|'(\w+)' is undefined", str(error.message))
        word = next((part for part in unknown.groups() if part), "") if unknown else ""
        line = line_of(path, rf"\{{\{{[^}}]*\b{word}\b") if word else first_line
        fail_at(
            path,
            line,
            f"template: {error.message}; it may use ref(), source() and partition.start/.end",
        )


def _check_statement(model: SqlModel, sql: str) -> None:
    path = model.path
    for name in model.sources:
        if name not in created_names():
            line = line_of(path, rf"source\(\s*['\"]{name}['\"]")
            fail_at(path, line, f"unknown source {name!r}; no migration creates it")
    try:
        statements = [one for one in sqlglot.parse(sql, dialect="clickhouse") if one is not None]
    except sqlglot.ParseError as error:
        where = error.errors[0] if error.errors else {}
        line = model.first_line + int(where.get("line") or 1) - 1
        fail_at(path, line, f"SQL does not parse: {where.get('description', error)}")
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        kinds = " and ".join(one.key.upper() for one in statements) or "nothing"
        fail_at(path, model.select_line, f"must hold exactly one SELECT, holds {kinds}")
    tree = statements[0]
    _check_tables(model, tree)
    _check_columns(model, tree)
    _check_parameters(model, sql)
    _check_materialisation(model)


def _check_materialisation(model: SqlModel) -> None:
    front, path = model.front, model.path
    if front.is_table:
        for name, spec in front.columns.items():
            if spec.type is None:
                where = line_of(path, rf"^\s+{re.escape(name)}:")
                fail_at(path, where, f"column {name!r} of a table needs a type: {{type: …}}")
            if spec.not_null and not spec.type.startswith("Nullable("):
                where = line_of(path, rf"^\s+{re.escape(name)}:")
                fail_at(path, where, f"column {name!r} is {spec.type}, where NULL cannot be")
    if front.materialized == "incremental":
        stamp = front.columns.get("snapshot_ts")
        if front.key[0] != "snapshot_ts" or stamp is None or stamp.type != "DateTime('UTC')":
            fail_at(
                path,
                line_of(path, r"^key:"),
                "an incremental model's key must begin with snapshot_ts of type DateTime('UTC')",
            )
    if front.tests and not front.is_table:
        fail_at(path, line_of(path, r"^tests:"), "only a table can be tested; materialize it")


def _check_partition(model: SqlModel, models: Mapping[str, SqlModel]) -> None:
    """Check that what the statement takes, with the models put into it, suits what it becomes."""
    taken = set(parameters_of(model, models))
    hourly = taken & set(_PARTITION_PARAMETERS)
    line = line_of(model.path, r"^materialized:")
    kind = model.front.materialized
    if kind == "incremental" and hourly != set(_PARTITION_PARAMETERS):
        fail_at(model.path, line, "an incremental model must use partition.start and .end")
    if kind == "replace" and hourly:
        fail_at(model.path, line, "a model that is replaced as a whole has no partition")
    if kind == "view" and taken:
        fail_at(model.path, line, f"a view takes no parameters, this one takes {sorted(taken)}")


def _check_tables(model: SqlModel, tree: exp.Query) -> None:
    ours = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    declared = {f"ref__{name}" for name in model.refs} | set(model.sources) | ours
    for table in tree.find_all(exp.Table):
        if table.name and table.name not in declared:
            line = line_of(model.path, rf"\b{re.escape(table.name)}\b")
            fail_at(
                model.path,
                line,
                f"reads {table.name!r} directly; write {{{{ source('{table.name}') }}}} or ref()",
            )


def _check_columns(model: SqlModel, tree: exp.Query) -> None:
    if tree.is_star:
        fail_at(model.path, model.select_line, "selects *; name the columns")
    names = list(tree.named_selects)
    for name in names:
        if name not in model.front.columns:
            line = line_of(model.path, rf"\b{re.escape(name)}\b" if name else "SELECT")
            fail_at(model.path, line, f"column {name!r} is not described under columns")
    for name in (*model.front.columns, *model.front.key):
        if name not in names:
            line = line_of(model.path, rf"\b{re.escape(name)}\b")
            fail_at(model.path, line, f"column {name!r} is declared but not selected")


def _check_parameters(model: SqlModel, sql: str) -> None:
    allowed = {**_PARTITION_PARAMETERS, **model.front.parameters}
    used = {match["name"]: match["type"] for match in _PARAMETER.finditer(sql)}
    for name, kind in used.items():
        if allowed.get(name) != kind:
            line = line_of(model.path, rf"\{{{name}:")
            was = allowed.get(name, "nothing")
            fail_at(model.path, line, f"parameter {name} is {kind} here, {was} under parameters")
    for name in model.front.parameters:
        if name not in used:
            line = line_of(model.path, rf"^\s+{name}:")
            fail_at(model.path, line, f"parameter {name} is declared but not used")


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
            fail_at(path, 1, f"model {model.name!r} exists already: {models[model.name].path}")
        models[model.name] = model
    for model in models.values():
        for name in model.refs:
            if name not in models:
                line = line_of(model.path, rf"ref\(\s*['\"]{name}['\"]")
                fail_at(model.path, line, f"unknown ref {name!r}; models are {sorted(models)}")
    try:
        order = TopologicalSorter(
            {model.name: model.refs for model in models.values()}
        ).static_order()
        ordered = {name: models[name] for name in order}
    except CycleError as error:
        chain: list[str] = list(error.args[1])
        first = models[chain[1]]
        line = line_of(first.path, rf"ref\(\s*['\"]{chain[0]}['\"]")
        fail_at(first.path, line, f"models refer to each other in a cycle: {' -> '.join(chain)}")
    for model in ordered.values():
        _check_partition(model, ordered)
    return ordered


@cache
def project_models() -> Mapping[str, SqlModel]:
    """Return the models of the project, read once in this process.

    Raises
    ------
    SqlModelError
        As `load_models`.
    """
    return load_models()


def render(model: SqlModel, models: Mapping[str, SqlModel]) -> str:
    """Return the statement to run: the author's text, with ephemeral models put in as subqueries.

    Other models are read from their tables and views.

    Parameters
    ----------
    model
        What to render.
    models
        All models, as `load_models` returns them.
    """

    def ref(name: str) -> str:
        if models[name].front.materialized != "ephemeral":
            return name
        return f"(\n{render(models[name], models)}\n)"

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - SQL, not HTML; values travel as query parameters
    template = environment.from_string(model.template)
    return template.render(ref=ref, source=str, partition=_PARTITION).strip()


def parameters_of(model: SqlModel, models: Mapping[str, SqlModel]) -> dict[str, str]:
    """Return the ClickHouse type of every parameter that the rendered statement takes, by name."""
    return {match["name"]: match["type"] for match in _PARAMETER.finditer(render(model, models))}


def depends_on(model: SqlModel, models: Mapping[str, SqlModel]) -> tuple[set[str], set[str]]:
    """Return the tables of migrations and the models that it reads, looking through ephemeral ones.

    Returns
    -------
    sources, refs
        Names.
    """
    sources, refs = set(model.sources), set()
    for name in model.refs:
        other = models[name]
        if other.front.materialized != "ephemeral":
            refs.add(name)
            continue
        more_sources, more_refs = depends_on(other, models)
        sources |= more_sources
        refs |= more_refs
    return sources, refs
