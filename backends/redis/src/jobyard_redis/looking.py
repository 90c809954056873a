"""Pages of jobs and of logs, and queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from jobyard.job import JobRecord
from jobyard.limit import LimitInfo, Rate
from jobyard.query import Counts, JobQuery, Page, QueueInfo
from jobyard_redis.link import Argument, Link
from jobyard_redis.records import CODES, job_record, packed

STRETCH: Final = 1_000
"""How many jobs one script looks at for a page, so that it holds up nobody for long."""

STRETCHES: Final = 20
"""How many scripts are run for a page before it is answered short."""

BATCH: Final = 250
"""How many jobs are shown at once: their payloads pass through the server's memory."""


async def get(link: Link, job_ids: Sequence[str]) -> list[JobRecord | None]:
    """Show jobs by id."""
    found: list[JobRecord | None] = []
    for first in range(0, len(job_ids), BATCH) or (0,):
        said = await link.run("get", *map(packed, job_ids[first : first + BATCH]))
        found += (None if shown is None else job_record(shown) for shown in said)
    return found


async def find(link: Link, query: JobQuery) -> Page[JobRecord]:
    """List jobs, going on until the page is full or enough has been looked at."""
    limit, after = max(query.limit, 0), query.after
    found: list[JobRecord] = []
    for _ in range(STRETCHES):
        room = min(limit - len(found), BATCH)
        arguments = _find_arguments(query, after=after, limit=room)
        cursor, shown = await link.run("find", *arguments)
        found += map(job_record, shown)
        after = cursor.decode() or after
        if not cursor:
            return Page(items=tuple(found))
        if len(found) >= limit:
            break
    return Page(items=tuple(found), next=after if found or limit else None)


def _find_arguments(query: JobQuery, *, after: str | None, limit: int) -> list[Argument]:
    names = query.names
    states = "-" if query.states is not None else ""
    if query.states is not None:
        states += "".join(sorted(CODES[state] for state in query.states))
    return [
        after or "",
        "1" if query.newest_first else "",
        limit,
        STRETCH,
        query.queue or "",
        states,
        "" if query.created_from is None else query.created_from,
        "" if query.created_until is None else query.created_until,
        -1 if names is None else len(names),
        *sorted(names or ()),
    ]


async def logs(link: Link, job_id: str, *, after: int, limit: int) -> Page[str]:
    """Show the lines of a job's log."""
    limit = max(limit, 0)
    if not limit:
        return Page(items=())
    key = b"%b:log:%b" % (link.yard.encode(), packed(job_id))
    lines = await link.command("LRANGE", key, after, after + limit)
    items = tuple(line.decode() for line in lines[:limit])
    return Page(items=items, next=str(after + limit) if len(lines) > limit else None)


def queue_info(said: Sequence[Any]) -> QueueInfo:
    """Read what a script shows of a queue."""
    name, word, oldest, *counts, limits = said
    waiting, delayed, blocked, active, completed, failed, cancelled, stalled, dead = counts
    return QueueInfo(
        name=name.decode(),
        paused=b"p" in word,
        counts=Counts(
            waiting=waiting,
            delayed=delayed,
            blocked=blocked,
            active=active,
            completed=completed,
            failed=failed,
            cancelled=cancelled,
            stalled=stalled,
            dead=dead,
        ),
        oldest_due=int(oldest) if oldest else None,
        limits=tuple(_limit_info(*each) for each in sorted(_pairs(limits), key=_queue_first)),
    )


def _pairs(said: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(said[::2], said[1::2], strict=True))


def _queue_first(limit: tuple[bytes, bytes]) -> tuple[bool, bytes]:
    return limit[0] != b"q", limit[0]


def _limit_info(field: bytes, row: bytes) -> LimitInfo:
    most, count, per, held_until, *_ = row.split(b"|")
    return LimitInfo(
        name=None if field == b"q" else field[1:].decode(),
        concurrency=int(most) if most else None,
        rate=Rate(int(count), int(per)) if count else None,
        held_until=int(held_until) or None,
    )
