"""What a SQL model says about itself: the YAML at the head of its file."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["ColumnSpec", "FrontMatter", "ModelTest"]

_MATERIALISED = ("incremental", "replace")


class _Strict(BaseModel):
    """An unknown key is an error, so that a typing slip is not silent."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnSpec(_Strict):
    """A column; in the file either its description alone, or a mapping of these.

    Attributes
    ----------
    description
        With the unit.
    type
        ClickHouse type; a table needs one.
    not_null, accepted, between
        Tests: no NULL or NaN; one of these values; within these bounds.
    """

    description: str = Field(min_length=1)
    type: str | None = None
    not_null: bool = False
    accepted: tuple[str | int | float | bool, ...] = ()
    between: tuple[float, float] | None = None


class ModelTest(_Strict):
    """A rule on the rows of a model.

    Attributes
    ----------
    name, description
        For people.
    fails
        SQL condition that is true of a row that breaks the rule.
    tolerated_share
        Share of rows that may break it.
    numbers
        Figures worth keeping: SQL aggregates by name.
    blocking
        A failure keeps the hours from being published.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str = Field(min_length=1)
    fails: str = Field(min_length=1)
    tolerated_share: float = Field(default=0.0, ge=0, lt=1)
    numbers: dict[str, str] = {}
    blocking: bool = False


class FrontMatter(_Strict):
    """The whole head of a file.

    Attributes
    ----------
    materialized
        ``ephemeral``: a subquery of its readers; ``view``; ``incremental``: a table of which hours
        are replaced; ``replace``: a table that is replaced as a whole.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    grain: str = Field(min_length=1)
    key: tuple[str, ...] = Field(min_length=1)
    materialized: Literal["ephemeral", "view", "incremental", "replace"] = "ephemeral"
    parameters: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    columns: dict[str, ColumnSpec]
    tests: tuple[ModelTest, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _plain_descriptions(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("columns"), dict):
            columns = {
                name: {"description": spec} if isinstance(spec, str) else spec
                for name, spec in values["columns"].items()
            }
            return {**values, "columns": columns}
        return values

    @property
    def is_table(self) -> bool:
        """Whether it has a table of its own."""
        return self.materialized in _MATERIALISED

    def all_tests(self) -> tuple[ModelTest, ...]:
        """Return the tests of the columns, then those written out.

        The key of a table is always tested; see `vol_platform.store.sql_models.tests`.
        """
        found: list[ModelTest] = []
        for name, spec in self.columns.items():
            if spec.not_null:
                found.append(
                    ModelTest(
                        name=f"{name}_is_there",
                        description=f"{name} is never NULL.",
                        fails=f"`{name}` IS NULL",
                        blocking=True,
                    )
                )
            if spec.accepted:
                values = ", ".join(_literal(value) for value in spec.accepted)
                found.append(
                    ModelTest(
                        name=f"{name}_is_known",
                        description=f"{name} is one of {values}.",
                        fails=f"`{name}` NOT IN ({values})",
                    )
                )
            if spec.between is not None:
                low, high = spec.between
                found.append(
                    ModelTest(
                        name=f"{name}_within_bounds",
                        description=f"{name} lies between {low:g} and {high:g}.",
                        fails=f"NOT (`{name}` BETWEEN {low!r} AND {high!r})",
                        numbers={
                            f"smallest_{name}": f"min({name})",
                            f"largest_{name}": f"max({name})",
                        },
                    )
                )
        return (*found, *self.tests)


def _literal(value: str | float) -> str:
    """Write a value of the front matter, which is part of our own source, as SQL."""
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return str(value).lower() if isinstance(value, bool) else repr(value)
