"""The committed table: written for people, and read back to be compared with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.costs.meters import METERS, Counts
from tests.costs.scenario import STEPS, Entry

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "costs.md"

HEAD: Final = """\
# What a call costs a store

<!-- Written by python -m tests.costs: run that when a cost changes on purpose. -->

What one fixed scenario makes each store do, counted while it runs, on stores that hold what an
earlier pass has left: queues, lanes and counts are there. The numbers are the same on every machine
and under any load. In `make test` none may be greater than here: a change that makes a call dearer
shows in review, as a number.

- **Calls** are those of the backend's methods: each is one round trip, the same on every store.
- **SQLite**: statements, with those that begin and commit; one run for many rows counts once.
- **PostgreSQL**: statements sent, and those that the functions so called run inside the server.
- **Redis**: scripts sent, and the commands that they run inside the server.

Hints that wake other processes (PostgreSQL's NOTIFY, the connection of Redis' bell) are left out,
since how many there are goes by the clock. The test gives the store's time: else a script asks
Redis for it, which is one more command.
"""


def table(entries: dict[str, list[Entry]]) -> list[str]:
    """Lay out what was measured, by store."""
    lines = [
        f"| {' | '.join(('step', 'method', 'calls', *entries))} |",
        f"|{'---|' * 2}{'--:|' * (len(entries) + 1)}",
    ]
    step = ""
    for row in zip(*entries.values(), strict=True):
        first = row[0]
        told = "" if first.step == step else STEPS[first.step]
        step = first.step
        counts = [shown(entry) for entry in row]
        cells = (told, f"`{first.method}`", f"{first.calls:,}", *counts)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def shown(entry: Entry) -> str:
    """Show the counts of an entry in a cell."""
    return " + ".join(f"{count:,}" for count in entry.counts)


def render(entries: dict[str, list[Entry]]) -> str:
    """Write the page."""
    return "\n".join([HEAD, *table(entries), "", *minute(entries)]) + "\n"


def minute(entries: dict[str, list[Entry]]) -> Iterable[str]:
    """Add up what an idle worker asks of each store."""
    yield "An idle worker thus makes a store run, each minute:"
    yield ""
    for store, found in entries.items():
        idle = [entry for entry in found if entry.step == "idle"]
        if not idle:
            continue
        parts = METERS[store].parts
        sums = [sum(each) for each in zip(*(entry.counts for entry in idle), strict=True)]
        told = ", ".join(f"{count:,} {part}" for count, part in zip(sums, parts, strict=True))
        yield f"- {store}: {told}, for {sum(entry.calls for entry in idle)} calls"


Key = tuple[str, str]
"""A step, as it is told, and a method."""


def column(store: str, page: str) -> dict[Key, tuple[int, Counts]]:
    """Read the calls and the counts of a store back."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("|") and not line.startswith("|---")
    ]
    place = rows[0].index(store)
    step = ""
    found = {}
    for row in rows[1:]:
        step = row[0] or step
        numbers = [int(part.replace(",", "")) for part in (row[2], *row[place].split(" + "))]
        found[step, row[1].strip("`")] = (numbers[0], tuple(numbers[1:]))
    return found


def dearer(entries: list[Entry], told: dict[Key, tuple[int, Counts]]) -> list[str]:
    """Tell what has become dearer than the table says, or is not in it."""
    found = []
    for entry in entries:
        calls, counts = told.get((STEPS[entry.step], entry.method), (0, ()))
        is_more = [now > then for now, then in zip(entry.counts, counts, strict=False)]
        if entry.calls != calls or len(counts) != len(entry.counts) or any(is_more):
            was = f"{calls} calls: {counts}"
            found.append(
                f"{STEPS[entry.step]}: {entry.method}: {entry.calls} calls: {entry.counts}, "
                f"and the table says {was}"
            )
    return found
