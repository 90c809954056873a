"""Showing what was measured: a table for people, JSON for comparing runs."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.book import Book, Bound

Facts = dict[str, object]


def show(book: Book, title: str, console: Console) -> None:
    """Print the figures as a table, with what they must reach."""
    table = Table(title=title, title_justify="left")
    for heading in ("work", "figure"):
        table.add_column(heading, no_wrap=True)
    for heading in ("median", "min", "max"):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    table.add_column("required", no_wrap=True)
    work = ""
    for figure in book.figures:
        if work and figure.work != work:
            table.add_section()
        table.add_row(
            "" if figure.work == work else figure.work,
            figure.name,
            *(_number(value) for value in (figure.median, min(figure.values), max(figure.values))),
            figure.unit,
            _verdict(book.bound(figure)),
        )
        work = figure.work
    console.print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _verdict(bound: Bound | None) -> str:
    if bound is None:
        return ""
    sign = "≥" if bound.kind == "at least" else "≤"
    verdict = "[green]kept[/]" if bound.is_kept else "[red]missed[/]"
    return f"{sign} {bound.value:g} {verdict}"


def write(path: Path, book: Book, facts: Facts) -> None:
    """Write everything as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**facts, "figures": book.as_json()}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
