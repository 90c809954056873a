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
UNION ALL SELECT abs(no), queue, 'blocked' FROM jobyard_blocked
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

UNFINISHED = "NOT EXISTS (SELECT 1 FROM jobyard_done d WHERE d.no = {no})"

FLOW = {
    "a group counts places or jobs that there are not, or nobody is of it": """
        SELECT g.key, g.taken, g.members, coalesce(sum(j.placed), 0), count(j.no)
        FROM jobyard_gate g LEFT JOIN jobyard_gated j ON j.grp = g.id AND {unfinished}
        WHERE g.kind = 0 GROUP BY g.id
        HAVING g.taken <> coalesce(sum(j.placed), 0) OR g.members <> count(j.no) OR NOT g.members
    """,
    "a rate counts slots or jobs that there are not": """
        SELECT g.key, g.taken, g.members, count(j.slot_at), count(j.no)
        FROM jobyard_gate g LEFT JOIN jobyard_gated j ON j.rate = g.id AND {unfinished}
        WHERE g.kind = 1 GROUP BY g.id HAVING g.members <> count(j.no)
            OR g.taken <> count(j.slot_at)
                + (SELECT coalesce(sum(n), 0) FROM jobyard_slot s WHERE s.gate = g.id)
    """,
    "a job stands in a line though a place or a slot is free": """
        SELECT b.no, g.key FROM jobyard_blocked b JOIN jobyard_gate g ON g.id = b.line
        WHERE g.taken < g.room OR EXISTS (SELECT 1 FROM jobyard_slot s WHERE s.gate = g.id)
    """,
    "a job stands in a line of nothing": """
        SELECT b.no, b.line FROM jobyard_blocked b LEFT JOIN jobyard_gate g ON g.id = b.line
        WHERE b.line <> -b.queue AND g.id IS NULL
    """,
    "a job waits or runs without a place, or waits without a slot": """
        SELECT j.no FROM jobyard_gated j LEFT JOIN jobyard_running r ON r.no = j.no
        LEFT JOIN jobyard_ready w ON w.no IN (j.no, -j.no)
        WHERE (w.no IS NOT NULL OR r.no IS NOT NULL) AND j.grp IS NOT NULL AND NOT j.placed
            OR w.no IS NOT NULL AND j.rate IS NOT NULL AND j.slot_at IS NULL
            OR r.no IS NOT NULL AND j.slot_at IS NOT NULL
    """,
    "a job with gates is not noted, or one without them is": """
        SELECT j.no FROM jobyard_job j LEFT JOIN jobyard_gated g ON g.no = j.no
        WHERE (j.flags & 384 <> 0) <> (g.no IS NOT NULL)
        UNION ALL SELECT no FROM jobyard_gated WHERE no NOT IN (SELECT no FROM jobyard_job)
    """,
    "a key is held by a job that never had it": """
        SELECT d.key, d.no FROM jobyard_dedup d LEFT JOIN jobyard_job j
            ON j.no = d.no AND j.id = d.job_id AND j.queue = d.queue AND j.dedup = d.key
        WHERE j.no IS NULL AND d.until IS NULL
    """,
    "a job that is not blocked waits for a parent, or one waits for none": """
        SELECT child FROM jobyard_dep WHERE waits
            AND child NOT IN (SELECT abs(no) FROM jobyard_blocked WHERE line = -queue)
        UNION ALL SELECT no FROM jobyard_blocked WHERE line = -queue
            AND abs(no) NOT IN (SELECT child FROM jobyard_dep WHERE waits)
    """,
    "a job waits for a parent that has ended or gone, or that does not know": """
        SELECT p.child, p.parent FROM jobyard_dep p LEFT JOIN jobyard_job j ON j.id = p.parent
        LEFT JOIN jobyard_done d ON d.no = j.no
        WHERE p.waits AND (j.no IS NULL OR d.state <> 7 OR NOT j.flags & 1024)
    """,
    "a job keeps a parent though it has finished or gone": """
        SELECT p.child FROM jobyard_dep p LEFT JOIN jobyard_job j ON j.no = p.child
        WHERE j.no IS NULL OR (p.attached OR p.waits)
            AND EXISTS (SELECT 1 FROM jobyard_done d WHERE d.no = j.no)
    """,
}
"""What must find nothing, by what it would mean if it did."""

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
    for trouble, sql in FLOW.items():
        found = connection.execute(sql.format(unfinished=UNFINISHED.format(no="j.no"))).fetchall()
        if found:
            yield f"{trouble}: {found}"
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
