"""Schedules, workers and events, as the scripts keep them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jobyard.events import EventKind, EventPage, StoredEvent
from jobyard.metrics import MINUTE_MS, Bucket, Metrics
from jobyard.presence import WorkerInfo, read_worker
from jobyard.query import Page
from jobyard.schedule import ScheduleRecord
from jobyard_redis.link import Argument
from jobyard_redis.records import unescaped

pack_worker: Final = msgspec.msgpack.Encoder().encode
FIGURES: Final = {
    "a": "added",
    "s": "started",
    "c": "completed",
    "f": "failed",
    "r": "retried",
    "x": "cancelled",
    "k": "crashed",
    "d": "removed",
    "m": "ran_ms",
    "p": "peak",
}


# -- schedules


def schedule_arguments(schedules: Sequence[ScheduleRecord]) -> list[Argument]:
    """Write schedules for the script."""
    found: list[Argument] = []
    for each in schedules:
        found += (each.key, _or_empty(each.next_at), _paused(each), _whole(each))
    return found


def swap_arguments(old: ScheduleRecord | None, new: ScheduleRecord | None) -> list[Argument]:
    """Write the schedule that is expected and the one for its place; empty stands for none."""
    expected = b"" if old is None else _whole(old)
    if new is None:
        return [expected, "", "", b""]
    return [expected, _or_empty(new.next_at), _paused(new), _whole(new)]


def _whole(schedule: ScheduleRecord) -> bytes:
    """Write a schedule as it is stored, the same bytes each time."""
    instants = f"{_or_empty(schedule.next_at)}|{_or_empty(schedule.last_at)}"
    return f"{_paused(schedule)}|{instants}|{schedule.fired}|".encode() + schedule.definition


def _paused(schedule: ScheduleRecord) -> str:
    return "1" if schedule.paused else "0"


def _or_empty(instant: int | None) -> str:
    return "" if instant is None else str(instant)


def schedule_page(said: Sequence[Any], *, after: str | None, limit: int) -> Page[ScheduleRecord]:
    """Read a page of schedules, sorted by key."""
    found = sorted(
        (key.decode(), whole)
        for key, whole in zip(*said, strict=True)
        if whole is not None and (after is None or key.decode() > after)
    )
    items = tuple(_schedule(key, whole) for key, whole in found[:limit])
    return Page(items=items, next=items[-1].key if items and len(found) > limit else None)


def _schedule(key: str, whole: bytes) -> ScheduleRecord:
    paused, next_at, last_at, fired, definition = whole.split(b"|", 4)
    return ScheduleRecord(
        key=key,
        definition=definition,
        next_at=int(next_at) if next_at else None,
        paused=paused == b"1",
        fired=int(fired),
        last_at=int(last_at) if last_at else None,
    )


# -- workers


def workers_from(said: Sequence[bytes | None]) -> tuple[WorkerInfo, ...]:
    """Read workers, sorted by id."""
    found = []
    for each in said:
        if each is not None:
            started, seen, _, info = each.split(b"|", 3)
            found.append(
                msgspec.structs.replace(
                    read_worker(info), started_at=int(started), seen_at=int(seen)
                )
            )
    return tuple(sorted(found, key=lambda worker: worker.id))


# -- events


def event_page(said: Sequence[Any]) -> EventPage:
    """Read a stretch of the log."""
    cursor, gap, events = said
    return EventPage(
        events=tuple(_event(each) for each in events), cursor=cursor.decode(), gap=bool(gap)
    )


def _event(written: bytes) -> StoredEvent:
    line, _, data = written.partition(b"\n")
    kind, at, queue, job_id, name, worker, attempt, ran, size = line.split(b"|")
    return StoredEvent(
        kind=EventKind(kind.decode()),
        at=int(at),
        queue=queue.decode(),
        job_id=job_id.decode() or None,
        name=name.decode() if job_id else None,
        worker=unescaped(worker) if worker else None,
        attempt=int(attempt) if attempt else None,
        ran_ms=int(ran) if ran else None,
        data=data if int(size) >= 0 else None,
    )


# -- metrics


def metrics_from(queue: str, said: Sequence[bytes], *, since: int, until: int) -> Metrics:
    """Read the counts of a queue by the minute, and sum them up."""
    minutes: dict[int, dict[str, int]] = {}
    total = dict.fromkeys(FIGURES.values(), 0)
    for field, value in zip(said[::2], said[1::2], strict=True):
        minute, figure = int(field[:-1]), FIGURES[field[-1:].decode()]
        minutes.setdefault(minute * MINUTE_MS, {})[figure] = int(value)
        total[figure] = (
            max(total[figure], int(value)) if figure == "peak" else total[figure] + int(value)
        )
    return Metrics(
        total=Bucket(queue=queue, **total),
        minutes=tuple(
            Bucket(queue=queue, at=at, **figures)
            for at, figures in sorted(minutes.items())
            if at > 0 and since <= at < until
        ),
    )
