"""Views: what of the visible state has to be equal on both sides, and what the contract leaves.

Left open are the values of insertion numbers and fences (their order is compared), the worker and
the asking for cancellation of a job that has ended, the run of a job that a person has moved, and
the peak of a single minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from jobyard.backend import Backend
from jobyard.events import StoredEvent
from jobyard.job import JobRecord, JobState
from jobyard.lease import Claim, Lease, Reaped
from jobyard.limit import LimitInfo
from jobyard.metrics import MINUTE_MS, Bucket
from jobyard.query import JobQuery, QueueInfo
from jobyard.schedule import ScheduleRecord
from jobyard_conformance.model.shapes import JOB_IDS, NAMES, QUEUES
from jobyard_conformance.yard import listed

__all__ = [
    "counted",
    "job",
    "lease",
    "line",
    "lines",
    "pages",
    "planned",
    "queues",
    "reaped",
    "told",
]

HOUR = 60 * MINUTE_MS
QUERIES = (
    JobQuery(limit=3),
    JobQuery(limit=2, newest_first=True, queue=QUEUES[0]),
    JobQuery(states=frozenset({JobState.WAITING, JobState.ACTIVE}), names=frozenset(NAMES[:2])),
)


def job(record: JobRecord) -> JobRecord:
    """Show a job; whether it has been claimed stays of its fence."""
    replaced = msgspec.structs.replace(record, no=0, fence=min(record.fence, 1))
    if record.state.is_finished:
        return msgspec.structs.replace(replaced, worker=None, cancel_asked=False)
    return replaced


def lease(given: Lease) -> Lease:
    """Show a lease; a claim that came back short was gone on with under further ids."""
    own = given.lease_id.partition("+")[0]
    return msgspec.structs.replace(given, lease_id=own, fence=1, no=0, flags=0)


def reaped(moved: Iterable[Reaped]) -> list[Reaped]:
    """Show what reaps took back, in the order of ids: which come first is left open."""
    plain = (msgspec.structs.replace(each, fence=min(each.fence, 1)) for each in moved)
    return sorted(plain, key=lambda each: each.job_id)


def line(records: Iterable[JobRecord | None]) -> list[str]:
    """Show the order of insertion."""
    found = sorted((each for each in records if each is not None), key=lambda each: each.no)
    return [each.id for each in found]


def told(events: Sequence[StoredEvent], *, by_hand: bool) -> object:
    """Show events: in order for each job and worker, else in none."""
    jobs: dict[str, list[StoredEvent]] = {}
    others: dict[str, list[StoredEvent]] = {}
    for event in events:
        plain = msgspec.structs.replace(event, name=event.name or None)
        if by_hand:
            plain = msgspec.structs.replace(plain, worker=None, attempt=None, ran_ms=None)
        if plain.job_id is not None:
            jobs.setdefault(plain.job_id, []).append(plain)
        else:
            others.setdefault(plain.worker or "", []).append(plain)
    unordered = sorted(
        others.pop("", []), key=lambda each: (each.queue, each.kind, each.data or b"")
    )
    return jobs, others, [(each.kind, each.queue, each.at, each.data) for each in unordered]


async def counted(backend: Backend, *, now: int) -> dict[str, tuple[Bucket, list[Bucket]]]:
    """Show each queue's totals, and the minutes of the last hour in which something happened."""
    until = now - now % MINUTE_MS + MINUTE_MS
    found: dict[str, tuple[Bucket, list[Bucket]]] = {}
    for queue in QUEUES:
        metrics = await backend.metrics(queue, since=until - HOUR, until=until)
        minutes = [msgspec.structs.replace(each, peak=0) for each in metrics.minutes]
        some = [each for each in minutes if each != Bucket(queue=queue, at=each.at)]
        found[queue] = (metrics.total, some)
    return found


async def pages(backend: Backend) -> object:
    """Show what some listings come to, page by page."""
    return [[job(each) for each in await listed(backend, query)] for query in QUERIES]


async def queues(backend: Backend, *, now: int) -> list[QueueInfo]:
    """Show all queues; of a hold that is over it is left open how long it shows."""
    return [
        msgspec.structs.replace(each, limits=limits_of(each, now=now))
        for each in await backend.queues()
    ]


def limits_of(info: QueueInfo, *, now: int) -> tuple[LimitInfo, ...]:
    """Show the limits of a queue, and the holds that are not over."""
    shown = (
        each
        if each.held_until is not None and each.held_until > now
        else msgspec.structs.replace(each, held_until=None)
        for each in info.limits
    )
    return tuple(each for each in shown if each != LimitInfo(name=each.name))


async def lines(backend: Backend) -> dict[str, tuple[str, ...]]:
    """Show the log of each job."""
    return {each: (await backend.logs(each)).items for each in JOB_IDS}


async def planned(backend: Backend) -> tuple[tuple[ScheduleRecord, ...], ...]:
    """Show all schedules, and those that are due."""
    return (await backend.schedules()).items, (await backend.schedules(due=True)).items


async def next_in_line(backend: Backend, want: Claim) -> list[JobRecord]:
    """Show what a claim would give."""
    return [job(each) for each in await backend.peek(want)]
