"""`vol validate`: what the platform makes of recorded boards, in figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from vol_platform.local.validate_boards import BoardsReport, WorstSlice

__all__ = ["register"]

_COLUMNS = (
    ("file", "board", "{}"),
    ("currency", "", "{}"),
    ("snapshot_ts", "snapshot UTC", "{:%Y-%m-%d %H:%M}"),
    ("expiries_listed", "expiries", "{}"),
    ("fitted", "fitted", "{}"),
    ("thin", "thin", "{}"),
    ("repaired", "repaired", "{}"),
    ("refused", "refused", "{}"),
    ("quotes", "quotes", "{}"),
    ("in_spread_share", "in spread", "{:.1%}"),
    ("retained_share", "retained", "{:.1%}"),
    ("two_sided_rejected", "rejected", "{}"),
    ("rmse_vol_points", "RMSE vp", "{:.2f}"),
    ("exact", "arb exact", "{}"),
    ("finite", "arb f.d.", "{}"),
    ("problem", "problem", "{}"),
)


def _table(report: BoardsReport) -> Table:
    from rich.table import Table

    table = Table(title="Boards", header_style="bold", row_styles=("", "dim"))
    for _, heading, _ in _COLUMNS:
        table.add_column(heading, no_wrap=heading != "problem")
    for row in report.boards.iter_rows(named=True):
        row["exact"] = _sum(row, "butterfly_exact", "calendar_exact", "wings_exact")
        row["finite"] = _sum(row, "butterfly_finite", "calendar_finite")
        table.add_row(*(_cell(row.get(key), form) for key, _, form in _COLUMNS))
    return table


def _cell(value: object, form: str) -> str:
    """Format a figure; a dash where there is none (NaN is the only value unequal to itself)."""
    return "–" if value is None or value != value else form.format(value)


def _sum(row: dict[str, object], *names: str) -> int | None:
    values = [row.get(name) for name in names]
    return sum(value for value in values if isinstance(value, int)) if None not in values else None


def _pooled(report: BoardsReport) -> list[str]:
    pooled, problems = report.pooled, int((report.boards["problem"] != "").sum())
    lines = [f"{len(report.boards)} boards, {problems} with a problem"]
    if not pooled.get("quotes"):
        return lines
    quotes = (
        f"{pooled['quotes']:,.0f} two-sided out-of-the-money quotes used: "
        f"{pooled['in_spread_pooled']:.2%} inside bid–ask (worst board "
        f"{pooled['in_spread_worst']:.2%}), {pooled['retained_pooled']:.2%} retained (worst "
        f"{pooled['retained_worst']:.2%})"
    )
    errors = (
        f"RMSE {pooled['rmse_vol_points_median']:.2f} vol points in the median board, "
        f"{pooled['rmse_vol_points_worst']:.2f} in the worst"
    )
    arbitrage = (
        f"arbitrage: {pooled['violations_exact']:.0f} violations by the exact checks, "
        f"{pooled['violations_finite']:.0f} by finite differences to 1.6 times the quotes; "
        f"{pooled['repaired_slices']:.0f} slices repaired, {pooled['thin_slices']:.0f} thin"
    )
    return [*lines, quotes, errors, arbitrage]


def _worst(worst: list[WorstSlice]) -> Table:
    from rich.table import Table

    table = Table(title="Worst slices", header_style="bold", row_styles=("", "dim"))
    for heading in ("", "board", "", "expiry", "days", "quotes", "in spread", "RMSE vp"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what its quotes say", overflow="fold")
    for rank, item in enumerate(worst, 1):
        (row,) = item.surface.to_dicts()
        table.add_row(
            str(rank),
            item.file,
            row["currency"],
            f"{row['expiry_ts']:%Y-%m-%d %H:%M}",
            f"{365 * row['expiry_years']:.1f}",
            str(row["quotes"]),
            f"{row['in_spread_share']:.1%}",
            f"{100 * row['rmse']:.2f}",
            item.diagnosis.text,
        )
    return table


def _draw(worst: list[WorstSlice], directory: Path) -> None:
    """Write one picture per slice, named by rank, market, snapshot and expiry."""
    from vol_platform.plots import slice_png

    directory.mkdir(parents=True, exist_ok=True)
    for rank, item in enumerate(worst, 1):
        (row,) = item.surface.to_dicts()
        name = (
            f"{rank:02d}_{row['currency']}_{row['snapshot_ts']:%Y%m%dT%H%M%S}"
            f"_expiry_{row['expiry_ts']:%Y%m%d}.png"
        )
        picture = slice_png(
            item.surface,
            item.quotes,
            currency=row["currency"],
            snapshot_ts=row["snapshot_ts"],
            note=f"{item.file}: {item.diagnosis.text}",
        )
        (directory / name).write_bytes(picture)


def boards(
    paths: Annotated[list[Path], typer.Argument(help="Board files, or folders of them.")],
    mapping: Annotated[
        Path | None, typer.Option(help="YAML file: how to read CSV files of an unknown kind.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the table as CSV, the expiries as Parquet beside it.")
    ] = None,
    worst: Annotated[
        int, typer.Option(min=0, help="List this many of the slices that fit worst, and why.")
    ] = 0,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for a picture of each of the worst slices.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress lines.")] = False,
) -> None:
    """Import boards into a scratch store, derive their surfaces, and judge them."""
    if pictures is not None and not worst:
        raise typer.BadParameter("--pictures draws the worst slices: say how many with --worst")
    from rich.console import Console

    from vol_platform.imports.mapping import load_mapping
    from vol_platform.local.validate_boards import validate_boards
    from vol_platform.settings import load_settings

    progress = Console(stderr=True)
    report = validate_boards(
        load_settings(),
        paths,
        mapping=None if mapping is None else load_mapping(mapping),
        worst=worst,
        progress=None if quiet else lambda text: progress.print(text, highlight=False),
    )
    console = Console()
    # A table that is piped into a file keeps every column, whatever the width of the terminal.
    console.width = max(console.width, 240)
    console.print(_table(report))
    for line in _pooled(report):
        console.print(line, highlight=False)
    if report.worst:
        console.print(_worst(report.worst))
        if pictures is not None:
            _draw(report.worst, pictures)
            console.print(f"drawn: {len(report.worst)} pictures in {pictures}", highlight=False)
    if output is not None:
        expiries = output.with_suffix(".expiries.parquet")
        report.boards.write_csv(output)
        report.expiries.write_parquet(expiries)
        console.print(f"written: {output} and {expiries}", highlight=False)
    raise typer.Exit(0 if report.good else 1)


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    group = typer.Typer(no_args_is_help=True, help="What the platform makes of recorded data.")

    @group.callback()
    def hold() -> None:
        """Keep `boards` a command of its own although it is the only one so far."""

    group.command("boards")(boards)
    app.add_typer(group, name="validate", rich_help_panel="Data in and out")
