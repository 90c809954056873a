"""Storing jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import compress, islice
from typing import NamedTuple

from jobyard.errors import Unsupported
from jobyard.events import EventKind, StoredEvent
from jobyard.job import Added, AddOutcome, JobSpec, JobState, Unit
from jobyard_sql.codes import (
    DEAD_LETTER,
    DELAYED,
    DROP,
    KEEP_COMPLETED,
    KEEP_FAILED,
    LIFO,
    WAITING,
    Tally,
)
from jobyard_sqlite.transaction import Transaction
from jobyard_sqlite.transitions import standing_by_id, state_of


class Row(NamedTuple):
    """A job as `Moves.add_job` stores it."""

    no: int
    id: str
    queue: int
    lane: int
    prio: int
    due: int
    created_at: int
    attempts: int
    max_crashes: int
    flags: int
    expires_at: int | None
    payload: bytes
    options: bytes


def check(units: Sequence[Unit]) -> None:
    """Raise `Unsupported` for a wish that is not honoured (yet)."""
    for unit in units:
        for spec in unit:
            if spec.group or spec.dedup or spec.depends_on or spec.rate:
                raise Unsupported(
                    "this version of jobyard-sqlite has no groups, dedup keys, dependencies or "
                    "rates of jobs; upgrade it, or add the job without"
                )


def flags_of(spec: JobSpec) -> int:
    """Write what a job asks for as flags."""
    flags = 0
    if spec.dead_letter:
        flags |= DEAD_LETTER
    if spec.lifo:
        flags |= LIFO
    if spec.keep_failed is not None:
        flags |= KEEP_FAILED
    if spec.keep_completed is not None:
        flags |= DROP if spec.keep_completed.count == 0 else KEEP_COMPLETED
    return flags


def add(tx: Transaction, units: Sequence[Unit]) -> list[tuple[Added, ...]]:
    """Store units of jobs; answer for each job."""
    specs = [spec for unit in units for spec in unit]
    if not specs:
        return [() for _ in units]
    answers = iter(_store(tx, specs, _rows(tx, specs)))
    return [tuple(islice(answers, len(unit))) for unit in units]


def _rows(tx: Transaction, specs: Sequence[JobSpec]) -> list[Row]:
    """Number the jobs, and decide where each goes."""
    now = tx.now
    lanes: dict[tuple[str, str, str], tuple[int, int]] = {}
    rows = []
    for no, spec in enumerate(specs, tx.take_jobs(len(specs))):
        key = (spec.queue, spec.channel, spec.name)
        found = lanes.get(key)
        if found is None:
            queue = tx.make_queue(spec.queue)
            found = lanes[key] = (queue.id, tx.lane(queue, spec.channel, spec.name))
        due = now + spec.delay_ms if spec.run_at is None else spec.run_at
        rows.append(
            Row(
                no,
                spec.id,
                found[0],
                found[1],
                -spec.priority,
                max(now, due),
                now,
                spec.attempts,
                spec.max_crashes,
                flags_of(spec),
                None if spec.ttl_ms is None else now + spec.ttl_ms,
                spec.payload,
                spec.options,
            )
        )
    return rows


def _store(tx: Transaction, specs: Sequence[JobSpec], rows: Sequence[Row]) -> list[Added]:
    """Write the jobs whose ids are new."""
    sql = tx.moves.add_job
    written = tx.run(sql, rows[0]) if len(rows) == 1 else tx.run_many(sql, rows)
    if written == len(rows):
        _enter(tx, specs, rows)
        now, created = tx.now, AddOutcome.CREATED
        waiting, delayed = JobState.WAITING, JobState.DELAYED
        return [Added(row.id, created, delayed if row.due > now else waiting) for row in rows]
    created_nos = {no for (no,) in tx.rows(tx.moves.added, (rows[0].no, rows[-1].no))}
    new = [row.no in created_nos for row in rows]
    _enter(tx, list(compress(specs, new)), list(compress(rows, new)))
    found = standing_by_id(tx, {row.id for row in rows})
    return [
        Added(
            row.id,
            AddOutcome.CREATED if row.no in created_nos else AddOutcome.EXISTS,
            state_of(found[row.id]),
        )
        for row in rows
    ]


def _enter(tx: Transaction, specs: Sequence[JobSpec], rows: Sequence[Row]) -> None:
    """Put new jobs into their first state, and count and tell them."""
    if not rows:
        return
    now = tx.now
    delayed = [row for row in rows if row.due > now]
    if len(rows) == 1:
        tx.run(tx.moves.put_delayed if delayed else tx.moves.put_ready, _place(rows[0], now))
    elif not delayed and rows[-1].no - rows[0].no == len(rows) - 1:
        tx.run(tx.moves.ready_from_jobs, (rows[0].no, rows[-1].no))
    else:
        ready = [_place(row, now) for row in rows if row.due <= now]
        tx.run_many(tx.moves.put_ready, ready)
        tx.run_many(tx.moves.put_delayed, [_place(row, now) for row in delayed])
    _count(tx, specs, len(delayed), rows)
    for row, spec in zip(rows, specs, strict=True):
        if row.expires_at is not None:
            tx.run(tx.moves.put_expiry, (row.expires_at, row.no))
        if row.flags & (KEEP_FAILED | KEEP_COMPLETED):
            _keep(tx, row.no, spec)
    if tx.listening:
        _tell(tx, specs)


def _place(row: Row, now: int) -> tuple[object, ...]:
    """Return a job's row in `ready` or `delayed`."""
    sign = -1 if row.flags & LIFO and row.due <= now else 1
    place = (row.queue, row.prio, sign * row.due, sign * row.no, row.lane)
    return (*place, 0, 0, row.flags, None)


def _count(tx: Transaction, specs: Sequence[JobSpec], delayed: int, rows: Sequence[Row]) -> None:
    """Count new jobs in their queues."""
    for (number, name), count in Counter(
        [(row.queue, spec.queue) for row, spec in zip(rows, specs, strict=True)]
    ).items():
        later = delayed if count == len(rows) else _delayed_in(number, rows, tx.now)
        delta = tx.delta(number, name)
        delta.gauges[DELAYED] += later
        delta.gauges[WAITING] += count - later
        delta.tally(Tally.ADDED, count)
        delta.woken = True


def _delayed_in(queue: int, rows: Sequence[Row], now: int) -> int:
    return sum(row.queue == queue and row.due > now for row in rows)


def _keep(tx: Transaction, no: int, spec: JobSpec) -> None:
    completed, failed = spec.keep_completed, spec.keep_failed
    tx.run(
        tx.moves.put_keep,
        (
            no,
            None if completed is None else completed.count,
            None if completed is None else completed.age_ms,
            None if failed is None else failed.count,
            None if failed is None else failed.age_ms,
        ),
    )


def _tell(tx: Transaction, specs: Sequence[JobSpec]) -> None:
    tx.events.extend(
        StoredEvent(
            kind=EventKind.ADDED,
            at=tx.now,
            queue=spec.queue,
            job_id=spec.id,
            name=spec.name,
        )
        for spec in specs
    )
