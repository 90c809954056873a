"""Looking at jobs, queues and counts; nothing here writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from jobyard.job import JobRecord
from jobyard.limit import LimitInfo
from jobyard.metrics import Bucket, Metrics
from jobyard.presence import WorkerInfo, read_worker
from jobyard.query import Counts, JobQuery, Page, QueueInfo
from jobyard.schedule import ScheduleRecord
from jobyard_postgres.arrays import int8s, texts
from jobyard_postgres.store import Store
from jobyard_sql.codes import CHILD, STATE_CODES, STATES, TALLIES
from jobyard_sql.looking import Standing, limit_of, record_of


async def get(store: Store, job_ids: Sequence[str]) -> tuple[JobRecord | None, ...]:
    """Show jobs by id, in the order asked."""
    rows = await store.call("show", texts(job_ids))
    found = {record.id: record for record in await _records(store, rows)}
    return tuple(found.get(job_id) for job_id in job_ids)


async def _records(store: Store, rows: Sequence[Any]) -> tuple[JobRecord, ...]:
    """Show jobs; only if some depend on others are the parents looked up."""
    standings = [Standing._make(row) for row in rows]
    parents: dict[int, list[str]] = {}
    if children := [each.no for each in standings if each.flags & CHILD]:
        for child, parent in await store.rows(store.looking.parents, {"nos": int8s(children)}):
            parents.setdefault(child, []).append(parent)
    return tuple(record_of(each, parents.get(each.no, ())) for each in standings)


async def by_number(store: Store, numbers: Sequence[int]) -> tuple[JobRecord, ...]:
    """Show jobs by number, in the order asked, those that there are."""
    rows = await store.rows(store.looking.by_no, {"nos": int8s(numbers)})
    found = {record.no: record for record in await _records(store, rows)}
    return tuple(found[number] for number in numbers if number in found)


async def find(store: Store, query: JobQuery) -> Page[JobRecord]:
    """List jobs; a page's `next` is the number of its last job."""
    limit = max(query.limit, 0)
    if query.after is not None:
        after = int(query.after)
    else:
        after = 2**63 - 1 if query.newest_first else 0
    states, names = query.states, query.names
    rows = await store.rows(
        store.looking.before if query.newest_first else store.looking.after,
        {
            "queue": query.queue,
            "states": None if states is None else int8s([STATE_CODES[s] for s in states]),
            "names": None if names is None else texts(names),
            "since": query.created_from,
            "until": query.created_until,
            "after": after,
            "limit": limit + 1,
        },
    )
    items = await _records(store, rows[:limit])
    return Page(items=items, next=str(items[-1].no) if items and len(rows) > limit else None)


async def logs(store: Store, job_id: str, *, after: int, limit: int) -> Page[str]:
    """Show the lines of a job's log; a page's `next` is how many lines to skip then."""
    limit = max(limit, 0)
    place = {"id": job_id, "after": after, "limit": limit + 1}
    rows = await store.rows(store.looking.lines, place)
    items = tuple(line.decode("utf-8", "surrogatepass") for _, line in rows[:limit])
    more = items and len(rows) > limit
    return Page(items=items, next=str(after + len(items)) if more else None)


async def queues(store: Store, names: Sequence[str] | None) -> tuple[QueueInfo, ...]:
    """Show queues by name."""
    wanted = None if names is None else set(names)
    oldest = f'"{store.schema}"."{store.namespace}_oldest_due"'
    rows = await store.rows(f"SELECT q.*, {oldest}(q.id) FROM ({store.looking.queues}) q")
    limits: dict[int, list[LimitInfo]] = {}
    for queue, *limiter in await store.rows(store.looking.limits):
        limits.setdefault(queue, []).append(limit_of(*limiter))
    return tuple(
        QueueInfo(
            name=name,
            paused=paused,
            counts=Counts(**dict(zip(map(str, STATES), counts, strict=True))),
            oldest_due=oldest_due,
            limits=tuple(sorted(limits.get(number, ()), key=_by_name)),
        )
        for number, name, paused, *counts, oldest_due in rows
        if wanted is None or name in wanted
    )


def _by_name(limit: LimitInfo) -> tuple[bool, str]:
    return limit.name is not None, limit.name or ""


async def metrics(store: Store, queue: str, *, since: int, until: int) -> Metrics:
    """Tell what happened in a queue."""
    span = {"queue": queue, "since": since, "until": until}
    (total,) = await store.rows(store.signals.total, {"queue": queue})
    minutes = await store.rows(store.signals.minutes, span)
    return Metrics(
        total=_bucket(queue, 0, total[1:]),
        minutes=tuple(_bucket(queue, row[0], row[1:]) for row in minutes),
    )


def _bucket(queue: str, at: int, figures: Sequence[int]) -> Bucket:
    counted = dict(zip((*TALLIES, "peak"), figures, strict=True))
    return msgspec.convert({"queue": queue, "at": at, **counted}, Bucket)


async def schedules(
    store: Store, *, due: bool, after: str | None, limit: int
) -> Page[ScheduleRecord]:
    """List schedules by key."""
    limit = max(limit, 0)
    parameters: dict[str, Any] = {"after": after or "", "limit": limit + 1}
    sql = store.signals.schedules
    if due:
        sql = store.signals.due_schedules
        parameters["now"] = await store.time()
    rows = await store.rows(sql, parameters)
    items = tuple(
        ScheduleRecord(
            key=key,
            definition=definition,
            next_at=next_at,
            paused=paused,
            fired=fired,
            last_at=last_at,
        )
        for key, definition, next_at, paused, fired, last_at in rows[:limit]
    )
    return Page(items=items, next=items[-1].key if items and len(rows) > limit else None)


async def workers(store: Store) -> tuple[WorkerInfo, ...]:
    """List the workers that live."""
    rows = await store.rows(store.signals.workers, {"now": await store.time()})
    return tuple(
        msgspec.structs.replace(read_worker(body), started_at=started_at, seen_at=seen_at)
        for body, started_at, seen_at in rows
    )
