"""Looking at jobs, queues and counts; nothing here writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from jobyard.job import JobRecord
from jobyard.limit import LimitInfo
from jobyard.metrics import Bucket, Metrics
from jobyard.query import Counts, JobQuery, Page, QueueInfo
from jobyard_sql.codes import CHILD, STATE_CODES, STATES, TALLIES
from jobyard_sql.looking import Looking, Standing, limit_of, record_of
from jobyard_sql.signals import Signals
from jobyard_sqlite.transitions import json_list


class Asking(Protocol):
    """What can be asked for rows: a look, or a transaction."""

    looking: Looking

    def rows(self, sql: str, parameters: Any = (), /) -> list[Any]:
        """Run a statement and return its rows."""


class Look:
    """One look at the store: everything read through it is of one moment."""

    def __init__(
        self,
        cursor: sqlite3.Cursor,
        *,
        looking: Looking,
        signals: Signals,
    ) -> None:
        self._cursor = cursor
        self.looking = looking
        self.signals = signals

    def rows(self, sql: str, parameters: Any = (), /) -> list[Any]:
        """Run a statement and return its rows."""
        return self._cursor.execute(sql, parameters).fetchall()


def get(look: Look, job_ids: Sequence[str]) -> tuple[JobRecord | None, ...]:
    """Show jobs by id, in the order asked."""
    rows = look.rows(look.looking.by_id, {"ids": json_list(job_ids)})
    found = {record.id: record for record in records(look, rows)}
    return tuple(found.get(job_id) for job_id in job_ids)


def records(look: Asking, rows: Iterable[Any]) -> list[JobRecord]:
    """Show jobs that were read, with their parents if there are any."""
    jobs = [Standing._make(row) for row in rows]
    children = [job.no for job in jobs if job.flags & CHILD]
    parents: dict[int, list[str]] = {}
    if children:
        for child, parent in look.rows(look.looking.parents, {"nos": json_list(children)}):
            parents.setdefault(child, []).append(parent)
    return [record_of(job, parents.get(job.no, ())) for job in jobs]


def find(look: Look, query: JobQuery) -> Page[JobRecord]:
    """List jobs; a page's `next` is the number of its last job."""
    limit = max(query.limit, 0)
    if query.after is not None:
        after = int(query.after)
    else:
        after = 2**63 - 1 if query.newest_first else 0
    states = query.states
    rows = look.rows(
        look.looking.before if query.newest_first else look.looking.after,
        {
            "queue": query.queue,
            "states": None if states is None else json_list(STATE_CODES[s] for s in states),
            "names": None if query.names is None else json_list(query.names),
            "since": query.created_from,
            "until": query.created_until,
            "after": after,
            "limit": limit + 1,
        },
    )
    items = tuple(records(look, rows[:limit]))
    return Page(items=items, next=str(items[-1].no) if items and len(rows) > limit else None)


def logs(look: Look, job_id: str, *, after: int, limit: int) -> Page[str]:
    """Show the lines of a job's log; a page's `next` is how many lines to skip then."""
    limit = max(limit, 0)
    rows = look.rows(look.looking.lines, {"id": job_id, "after": after, "limit": limit + 1})
    items = tuple(line.decode("utf-8", "surrogatepass") for _, line in rows[:limit])
    more = items and len(rows) > limit
    return Page(items=items, next=str(after + len(items)) if more else None)


def queues(look: Look, names: Sequence[str] | None) -> tuple[QueueInfo, ...]:
    """Show queues by name."""
    wanted = None if names is None else set(names)
    limits: dict[int, list[LimitInfo]] = {}
    for number, *limiter in look.rows(look.looking.limits):
        limits.setdefault(number, []).append(limit_of(*limiter))
    return tuple(
        QueueInfo(
            name=name,
            paused=bool(paused),
            counts=Counts(**dict(zip(map(str, STATES), counts, strict=True))),
            oldest_due=_oldest_due(look, number),
            limits=tuple(sorted(limits.get(number, ()), key=_whole_queue_first)),
        )
        for number, name, paused, *counts in look.rows(look.looking.queues)
        if wanted is None or name in wanted
    )


def _whole_queue_first(limit: LimitInfo) -> tuple[bool, str]:
    return limit.name is not None, limit.name or ""


def _oldest_due(look: Look, queue_id: int) -> int | None:
    """Find the earliest due that waits: a few probes of the key for each priority there is."""
    dues: list[int] = []
    for of_queue in (queue_id, -queue_id):
        prio = -(2**15)
        while rows := look.rows(look.looking.next_prio, {"queue": of_queue, "prio": prio}):
            ((prio,),) = rows
            place = {"queue": of_queue, "prio": prio}
            for statement in (look.looking.first_due, look.looking.first_lifo_due):
                dues += [abs(due) for (due,) in look.rows(statement, place)]
    return min(dues, default=None)


def metrics(look: Look, queue: str, *, since: int, until: int) -> Metrics:
    """Tell what happened in a queue."""
    (total,) = look.rows(look.signals.total, {"queue": queue})
    span = {"queue": queue, "since": since, "until": until}
    minutes = look.rows(look.signals.minutes, span)
    return Metrics(
        total=_bucket(queue, 0, total[1:]),
        minutes=tuple(_bucket(queue, row[0], row[1:]) for row in minutes),
    )


def _bucket(queue: str, at: int, figures: Sequence[int]) -> Bucket:
    counted = dict(zip((*TALLIES, "peak"), figures, strict=True))
    return msgspec.convert({"queue": queue, "at": at, **counted}, Bucket)
