"""What the commands print: JSON for programs, tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from jobyard.worker.journal import on_one_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

__all__ = [
    "Column",
    "ago",
    "counted",
    "fits",
    "instant",
    "make_console",
    "note",
    "plain",
    "print_facts",
    "print_json",
    "print_rows",
    "waited",
]

WIDEST = 10_000


class Column(NamedTuple):
    """A column of a table; one of numbers stands to the right."""

    head: str
    is_number: bool = False


def print_json(value: Any, *, on_a_line: bool = False) -> None:
    """Print a value as JSON, over several lines or on one, so that lines can be read one by one."""
    typer.echo(json.dumps(value, indent=None if on_a_line else 2))


def note(text: str) -> None:
    """Tell people something beside the output, on stderr."""
    print(f"jobyard: {text}", file=sys.stderr, flush=True)


def make_console(*, to_stderr: bool = False) -> Console:
    """Make what draws for people: no colours where there is no terminal, or `NO_COLOR` is set."""
    from rich.console import Console  # noqa: PLC0415 - not needed for --json

    return Console(highlight=False, stderr=to_stderr)


def print_rows(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], *, none: str, console: Any = None
) -> None:
    """Print a table, or what does not fit in the width as lines; `none` where there is no row."""
    from rich.padding import Padding  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415

    console = console or make_console()
    cells = [[plain(cell) for cell in row] for row in rows]
    if not cells:
        console.print(Text(none))
        return
    table = table_of(columns, cells)
    if fits(table, console):
        console.print(table)
        return
    for row in cells:
        words = [word_of(column, cell) for column, cell in zip(columns, row, strict=True)][1:]
        facts = ", ".join(word for word in words if word)
        console.print(Text(row[0]))
        console.print(Padding(Text(facts), (0, 0, 0, 2), expand=False))


def word_of(column: Column, cell: str) -> str:
    """Write a cell where there is no head above it."""
    if cell in {"", "-"}:
        return ""
    return f"{column.head} {cell}" if column.is_number else cell


def table_of(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> Table:
    """Lay rows out in columns that are not broken."""
    from rich import box  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column.head, justify="right" if column.is_number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def fits(drawn: RenderableType, console: Console) -> bool:
    """Tell whether something needs no more than the width there is."""
    unbounded = console.options.update(max_width=WIDEST)
    return console.measure(drawn, options=unbounded).maximum <= console.width


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and what there is to say of each."""
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts:
        table.add_row(Text(name), Text("\n".join(plain(line) for line in fact.splitlines())))
    make_console().print(table)


def plain(text: str) -> str:
    """Escape what could steer a terminal."""
    return on_one_line(text, most=WIDEST)


def instant(at: datetime | None) -> str:
    """Write an instant to the second, in UTC.

    >>> instant(datetime(2026, 3, 1, 12, 30, tzinfo=UTC))
    '2026-03-01 12:30:00'
    """
    return "-" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def ago(seconds: float) -> str:
    """Write how long ago something was; clocks that differ make nothing of the future.

    >>> ago(90)
    '1.5 min ago'
    """
    return f"{waited(max(0.0, seconds))} ago"


def waited(seconds: float | None) -> str:
    """Write a time of waiting in its largest unit that matters.

    >>> waited(7_300)
    '2.0 h'
    """
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def counted(number: int, noun: str = "job") -> str:
    """Write a number of things.

    >>> counted(1), counted(2_000)
    ('1 job', '2,000 jobs')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
