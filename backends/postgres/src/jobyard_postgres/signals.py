"""Schedules, workers, subscriptions and the log of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from jobyard.errors import BackendError
from jobyard.events import EventKind, EventPage, StoredEvent
from jobyard.job import Added, Unit
from jobyard.presence import WorkerInfo
from jobyard.schedule import ScheduleRecord
from jobyard_postgres.add import add
from jobyard_postgres.arrays import bools, byteas, int8s, nullable_int8s, texts
from jobyard_postgres.store import Store

pack_worker: Final = msgspec.msgpack.Encoder().encode


async def put_schedules(store: Store, schedules: Sequence[ScheduleRecord]) -> None:
    """Store schedules."""
    if not schedules:
        return
    await store.call(
        "put_schedules",
        store.fast,
        texts([schedule.key for schedule in schedules]),
        byteas([schedule.definition for schedule in schedules]),
        nullable_int8s([schedule.next_at for schedule in schedules]),
        bools([schedule.paused for schedule in schedules]),
        int8s([schedule.fired for schedule in schedules]),
        nullable_int8s([schedule.last_at for schedule in schedules]),
    )


async def swap_schedule(
    store: Store, key: str, *, old: ScheduleRecord | None, new: ScheduleRecord | None
) -> bool:
    """Put one schedule in the place of another, if that is what is stored."""
    (swapped,) = await store.call_one(
        "swap_schedule", store.fast, key, *_fields(old), *_fields(new)
    )
    return bool(swapped)


def _fields(schedule: ScheduleRecord | None) -> tuple[object, ...]:
    if schedule is None:
        return (None,) * 5
    return (
        schedule.definition,
        schedule.next_at,
        schedule.paused,
        schedule.fired,
        schedule.last_at,
    )


async def drop_schedules(store: Store, keys: Sequence[str]) -> int:
    """Forget schedules; tell how many there were."""
    (dropped,) = await store.call_one("drop_schedules", store.fast, texts(keys))
    return int(dropped)


async def fire(
    store: Store, key: str, *, expected: int, next_at: int | None, jobs: Unit
) -> tuple[Added, ...] | None:
    """Add the jobs of one tick and move the schedule on, if nobody else has."""
    answers = await add(store, (jobs,), tick=(key, expected, next_at))
    return None if answers is None else answers[0]


async def beat(store: Store, worker: WorkerInfo, ttl_ms: int) -> None:
    """Note that a worker lives, or that it has stopped."""
    (listening,) = await store.call_one(
        "beat", store.now, store.fast, worker.id, worker.state.value, ttl_ms, pack_worker(worker)
    )
    store.bell.ring(events=listening)


async def subscribe(store: Store, subscription: str, ttl_ms: int) -> str:
    """Begin, prolong or end a subscription; return the cursor after the latest event."""
    key, number = await store.call_one("subscribe", store.now, store.fast, subscription, ttl_ms)
    return f"{key}.{number}"


async def events(store: Store, *, after: str, limit: int) -> EventPage:
    """Read the log after a cursor: the order key and the number of an event."""
    key, _, number = after.partition(".")
    if not (key.isdecimal() and number.isdecimal()):
        raise BackendError(f"{after!r} is no cursor of this store; subscribe to get one")
    rows = await store.call("events", int(key), int(number), max(limit, 0))
    found = tuple(
        StoredEvent(
            kind=EventKind(kind),
            at=at,
            queue=queue,
            job_id=job_id,
            name=name,
            worker=worker,
            attempt=attempt,
            ran_ms=ran_ms,
            data=data,
        )
        for _, _, at, kind, queue, job_id, name, worker, attempt, ran_ms, data, _ in rows
        if kind is not None
    )
    if not rows:
        return EventPage(events=(), cursor=after)
    return EventPage(events=found, cursor=f"{rows[-1][0]}.{rows[-1][1]}", gap=rows[0][11])
