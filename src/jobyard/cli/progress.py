"""A bar for long work, on stderr, where that is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Advance", "progress_bar"]

Advance = Callable[[int, str], None]
"""Tells how far the work is, and what to write beside the bar."""


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Advance]:
    """Draw how far some work is, out of `total`, or without an end where that is not known."""
    from rich.progress import (  # noqa: PLC0415 - not needed for --help
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    from jobyard.cli.output import make_console  # noqa: PLC0415

    console = make_console(to_stderr=True)
    if not console.is_terminal:
        yield lambda _done, _facts: None
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[facts]}"),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task(what, total=total, facts="")

        def advance(done: int, facts: str) -> None:
            progress.update(task, completed=done, facts=facts)

        yield advance
