"""What must hold in the file at any moment, read with plain SQL and none of the backend's code."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

STATES = (
    *("waiting", "delayed", "blocked", "active"),
    *("completed", "failed", "cancelled", "stalled", "dead"),
)

PLACES = """
SELECT abs(no) AS no, abs(queue) AS queue, 'waiting' AS state FROM jobyard_ready
UNION ALL SELECT no, queue, 'delayed' FROM jobyard_delayed
UNION ALL SELECT no, queue, 'active' FROM jobyard_running
UNION ALL SELECT no, queue, CASE state {codes} END FROM jobyard_done
"""

HELD = """
SELECT l.no, l.held, count(r.no) FROM jobyard_lease l
LEFT JOIN jobyard_running r ON r.lease = l.no GROUP BY l.no HAVING l.held <> count(r.no)
"""

BEHIND = """
SELECT (SELECT coalesce(max(no), 0) FROM jobyard_job) > job
    OR (SELECT coalesce(max(no), 0) FROM jobyard_lease) > lease
    OR (SELECT coalesce(max(last), 0) FROM jobyard_event) > event
FROM jobyard_counter
"""

Dump = dict[str, list[tuple[Any, ...]]]


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file that is there, as any program would."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
        yield connection


def troubles(path: Path) -> list[str]:
    """Tell everything in a file that should not be so."""
    with reading(path) as connection:
        return list(_troubles(connection))


def _troubles(connection: sqlite3.Connection) -> Iterator[str]:
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield f"integrity_check: {line}"
    yield from _misplaced(connection)
    for fence, held, there in connection.execute(HELD):
        yield f"lease {fence} counts {held} jobs, there are {there}"
    if connection.execute(BEHIND).fetchall() != [(0,)]:
        yield "a number was given that the counter does not know"


def _misplaced(connection: sqlite3.Connection) -> Iterator[str]:
    codes = "".join(f" WHEN {code} THEN '{state}'" for code, state in enumerate(STATES))
    places = connection.execute(PLACES.replace("{codes}", codes)).fetchall()
    numbers = {no for no, _, _ in places}
    if len(numbers) != len(places):
        yield "a job is in two states"
    jobs = {no for (no,) in connection.execute("SELECT no FROM jobyard_job")}
    if jobs != numbers:
        yield f"jobs without a state, or states without a job: {sorted(jobs ^ numbers)}"
    there = Counter((queue, state) for _, queue, state in places)
    gauges = f"SELECT queue, {', '.join(STATES)} FROM jobyard_gauge"
    for queue, *counts in connection.execute(gauges):
        found = [there.pop((queue, state), 0) for state in STATES]
        if found != counts:
            yield f"queue {queue} counts {counts}, there are {found}"
    if there:
        yield f"jobs that no queue counts: {there}"


def dump(path: Path) -> Dump:
    """Read everything in a file."""
    with reading(path) as connection:
        named = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for (name,) in named
        }
