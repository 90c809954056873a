"""What the demo shows: live on a terminal, as plain lines elsewhere."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final, Self

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from jobyard.stats import QueueStats

__all__ = ["Screen", "counted"]

STEPS: Final = 5
"""How many lines of progress there are where nothing can be drawn over."""


def counted(number: int, noun: str) -> str:
    """Write a number of things.

    >>> counted(1, "job"), counted(2_000, "job")
    ('1 job', '2,000 jobs')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class Screen:
    """Writes the demo's story to a console."""

    def __init__(self, console: Console) -> None:
        """Show it on this console."""
        self.console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,  # an older rich ends one with an empty line even so
            expand=True,
        )
        self._task: TaskID | None = None
        self._began = time.monotonic()
        self._steps = 0

    def __enter__(self) -> Self:
        """Begin to draw progress; the times told count from here."""
        self._began = time.monotonic()
        if self.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Draw no more."""
        if self.console.is_terminal:
            self._progress.stop()

    @property
    def elapsed(self) -> float:
        """The seconds since the beginning."""
        return time.monotonic() - self._began

    def say(self, text: str = "") -> None:
        """Write a line as it is."""
        self.console.print(Text(text), soft_wrap=False)

    def tell(self, text: str) -> None:
        """Write what has just happened, with the time."""
        self._write(f"{self.elapsed:6.1f} s  ", text)

    def advance(self, stats: QueueStats, total: int) -> None:
        """Show how far the jobs are."""
        done = stats.completed + stats.failed
        facts = f"{stats.active} running, {stats.delayed} to retry"
        if self._task is None:
            self._task = self._progress.add_task("  files", total=total, facts=facts)
        self._progress.update(self._task, completed=done, facts=facts)
        if self.console.is_terminal or not total:
            return
        step = done * STEPS // total
        if step > self._steps:
            self._steps = step
            self.tell(f"{done:,} of {counted(total, 'file')} done, {facts}")

    def table(self, title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Write a table: the first column reads from the left, numbers from the right."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for at, head in enumerate(heads):
            table.add_column(head, justify="right" if at else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self.console.print(Text(title, style="bold"))
        self.console.print(Padding(table, (0, 0, 0, 2), expand=False))

    def facts(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Write names and what there is to say of each."""
        self.console.print(Text(title, style="bold"))
        width = max(len(name) for name, _ in rows)
        for name, fact in rows:
            self._write(f"  {name:{width}}  ", fact)

    def verdict(self, text: str, *, style: str) -> None:
        """Write how it ended."""
        self.console.print(Text(text, style=style))

    def _write(self, lead: str, text: str) -> None:
        # Wrapped here: rich fills up its lines with spaces.
        folded = textwrap.wrap(text, max(20, self.console.width - len(lead))) or [""]
        lines = [f"{lead}{folded[0]}", *(" " * len(lead) + line for line in folded[1:])]
        self.console.print(Text("\n".join(lines)), soft_wrap=True)
