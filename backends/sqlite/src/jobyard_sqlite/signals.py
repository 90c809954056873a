"""Schedules, workers, subscriptions and the log of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from jobyard.errors import StoreCorrupt
from jobyard.events import EventKind, EventPage, StoredEvent
from jobyard.job import Added, AddOutcome, Unit
from jobyard.presence import WorkerInfo, WorkerState, read_worker
from jobyard.query import Page
from jobyard.schedule import ScheduleRecord
from jobyard_sql.signals import Signals
from jobyard_sqlite.add import add
from jobyard_sqlite.transaction import Transaction

unpack_events: Final = msgspec.msgpack.Decoder(list[StoredEvent]).decode
pack_worker: Final = msgspec.msgpack.Encoder().encode


class Rows(Protocol):
    """What a look needs: to run a statement and get rows."""

    def rows(self, sql: str, parameters: Any = ..., /) -> list[Any]:
        """Run a statement and return its rows."""


# -- schedules


def put_schedules(tx: Transaction, schedules: Sequence[ScheduleRecord]) -> None:
    """Store schedules."""
    for schedule in schedules:
        tx.run(tx.signals.put_schedule, msgspec.structs.asdict(schedule))


def swap_schedule(
    tx: Transaction, key: str, *, old: ScheduleRecord | None, new: ScheduleRecord | None
) -> bool:
    """Put one schedule in the place of another, if that is what is stored."""
    rows = tx.rows(tx.signals.schedule, {"of": key})
    if (_schedule(rows[0]) if rows else None) != old:
        return False
    if new is not None:
        put_schedules(tx, [new])
    elif old is not None:
        drop_schedules(tx, [key])
    return True


def drop_schedules(tx: Transaction, keys: Sequence[str]) -> int:
    """Forget schedules; tell how many there were."""
    listed = msgspec.json.encode(list(keys)).decode()
    return tx.run(tx.signals.drop_schedules, {"keys": listed})


def list_schedules(
    look: Rows, sql: Signals, *, due_at: int | None, after: str | None, limit: int
) -> Page[ScheduleRecord]:
    """List schedules by key."""
    limit = max(limit, 0)
    parameters = {"after": after or "", "limit": limit + 1, "now": due_at}
    rows = look.rows(sql.schedules if due_at is None else sql.due_schedules, parameters)
    items = tuple(map(_schedule, rows[:limit]))
    return Page(items=items, next=items[-1].key if items and len(rows) > limit else None)


def _schedule(row: Sequence[Any]) -> ScheduleRecord:
    key, definition, next_at, paused, fired, last_at = row
    return ScheduleRecord(
        key=key,
        definition=definition,
        next_at=next_at,
        paused=bool(paused),
        fired=fired,
        last_at=last_at,
    )


def fire(
    tx: Transaction, key: str, *, expected: int, next_at: int | None, jobs: Unit
) -> tuple[Added, ...] | None:
    """Add the jobs of one tick and move the schedule on, if nobody else has."""
    parameters = {"of": key, "expected": expected, "following": next_at}
    if not tx.run(tx.signals.fire, parameters):
        return None
    (added,) = add(tx, (jobs,))
    if tx.listening:
        for spec, answer in zip(jobs, added, strict=True):
            if answer.outcome is AddOutcome.CREATED:
                tx.events.append(
                    StoredEvent(
                        kind=EventKind.SCHEDULED,
                        at=tx.now,
                        queue=spec.queue,
                        job_id=spec.id,
                        name=spec.name,
                    )
                )
    return added


# -- workers


def beat(tx: Transaction, worker: WorkerInfo, *, ttl_ms: int) -> None:
    """Note that a worker lives, or that it has stopped."""
    known = tx.row(tx.signals.worker, {"of": worker.id})
    if known is not None and known[2] <= tx.now:
        known = None
    if tx.listening:
        tx.events.extend(
            StoredEvent(kind=kind, at=tx.now, worker=worker.id)
            for kind in _news(None if known is None else known[0], worker.state)
        )
    tx.run(tx.signals.drop_silent_workers, {"now": tx.now})
    if worker.state is WorkerState.STOPPED:
        tx.run(tx.signals.drop_worker, {"of": worker.id})
        return
    tx.run(
        tx.signals.put_worker,
        {
            "id": worker.id,
            "body": pack_worker(worker),
            "state": worker.state,
            "started_at": tx.now if known is None else known[1],
            "seen_at": tx.now,
            "until": tx.now + ttl_ms,
        },
    )


def _news(known: str | None, state: WorkerState) -> list[EventKind]:
    """Tell what a beat says that was not known before (EVENTS-7)."""
    if state is WorkerState.STOPPED:
        return [] if known is None else [EventKind.WORKER_STOPPED]
    news = [EventKind.WORKER_STARTED] if known is None else []
    if state is WorkerState.STOPPING and known != state:
        news.append(EventKind.WORKER_STOPPING)
    return news or [EventKind.HEARTBEAT]


def workers(look: Rows, sql: Signals, now: int) -> tuple[WorkerInfo, ...]:
    """List the workers that live."""
    return tuple(
        msgspec.structs.replace(read_worker(body), started_at=started_at, seen_at=seen_at)
        for body, started_at, seen_at in look.rows(sql.workers, {"now": now})
    )


# -- events


def subscribe(tx: Transaction, subscription: str, *, ttl_ms: int) -> str:
    """Begin, prolong or end a subscription; return the cursor after the latest event."""
    tx.run(tx.signals.drop_subscription, {"of": subscription, "now": tx.now})
    if ttl_ms > 0:
        if not tx.listening:
            # A cursor from before missed what nobody asked for, and finds that out by the hole.
            (latest,) = tx.row(tx.signals.last_event)
            tx.run(tx.signals.trim_events, {"until": latest})
            tx.run(tx.signals.pass_one_event_over)
        until = tx.now + ttl_ms
        tx.run(tx.signals.put_subscription, {"id": subscription, "until": until})
    tx.run(tx.signals.listen_until)
    (cursor,) = tx.row(tx.signals.last_event)
    return str(cursor)


def events(look: Rows, sql: Signals, *, after: str, limit: int) -> EventPage:
    """Read the log after a cursor. A row holds the events of one transaction."""
    cursor, limit = int(after), max(limit, 0)
    first = look.rows(sql.first_event)
    if not first:
        ((latest,),) = look.rows(sql.last_event)
        return EventPage(events=(), cursor=str(max(cursor, latest)), gap=cursor < latest)
    kept_from = first[0][0] - len(read_batch(first[0][1]))
    gap = cursor < kept_from
    cursor = max(cursor, kept_from)
    found: list[StoredEvent] = []
    for last, body in look.rows(sql.events, {"after": cursor, "limit": limit}):
        batch = read_batch(body)
        found += batch[max(cursor - (last - len(batch)), 0) :]
        if len(found) >= limit:
            break
    found = found[:limit]
    return EventPage(events=tuple(found), cursor=str(cursor + len(found)), gap=gap)


def read_batch(body: bytes) -> list[StoredEvent]:
    """Read an entry of the log; raise `StoreCorrupt` for what is none."""
    try:
        return unpack_events(body)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        raise StoreCorrupt("an entry of the event log cannot be read back") from None
