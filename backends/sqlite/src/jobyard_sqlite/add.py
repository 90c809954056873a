"""Storing jobs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

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


class Placed(msgspec.Struct, frozen=True):
    """A job to store: its number, and where it goes."""

    spec: JobSpec
    no: int
    queue: int
    lane: int
    due: int
    delayed: bool
    flags: int


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
    placed = _place(tx, specs)
    answers = _store(tx, placed)
    result = []
    start = 0
    for unit in units:
        end = start + len(unit)
        result.append(tuple(answers[start:end]))
        start = end
    return result


def _place(tx: Transaction, specs: Sequence[JobSpec]) -> list[Placed]:
    """Number the jobs, and decide where each goes."""
    now = tx.now
    lanes: dict[tuple[str, str, str], tuple[int, int]] = {}
    placed = []
    for no, spec in enumerate(specs, tx.take_jobs(len(specs))):
        key = (spec.queue, spec.channel, spec.name)
        found = lanes.get(key)
        if found is None:
            queue = tx.make_queue(spec.queue)
            found = lanes[key] = (queue.id, tx.lane(queue, spec.channel, spec.name))
        due = now + spec.delay_ms if spec.run_at is None else spec.run_at
        delayed = due > now
        placed.append(
            Placed(
                spec,
                no,
                found[0],
                found[1],
                due if delayed else now,
                delayed,
                flags_of(spec),
            )
        )
    return placed


def _store(tx: Transaction, placed: Sequence[Placed]) -> list[Added]:
    """Write the jobs whose ids are new."""
    now = tx.now
    written = tx.run_many(
        tx.moves.add_job,
        [
            (
                job.no,
                job.spec.id,
                job.queue,
                job.lane,
                -job.spec.priority,
                job.due,
                now,
                job.spec.attempts,
                job.spec.max_crashes,
                job.flags,
                None if job.spec.ttl_ms is None else now + job.spec.ttl_ms,
                job.spec.payload,
                job.spec.options,
            )
            for job in placed
        ],
    )
    if written == len(placed):
        _enter(tx, placed)
        return [
            Added(
                job.spec.id,
                AddOutcome.CREATED,
                JobState.DELAYED if job.delayed else JobState.WAITING,
            )
            for job in placed
        ]
    first, last = placed[0].no, placed[-1].no
    created = {no for (no,) in tx.rows(tx.moves.added, (first, last))}
    _enter(tx, [job for job in placed if job.no in created])
    found = standing_by_id(tx, {job.spec.id for job in placed})
    return [
        Added(
            job.spec.id,
            AddOutcome.CREATED if job.no in created else AddOutcome.EXISTS,
            state_of(found[job.spec.id]),
        )
        for job in placed
    ]


def _enter(tx: Transaction, jobs: Sequence[Placed]) -> None:
    """Put new jobs into their first state."""
    if not jobs:
        return
    if len(jobs) == 1:
        job = jobs[0]
        tx.run(tx.moves.put_delayed if job.delayed else tx.moves.put_ready, _row(job))
    elif jobs[-1].no - jobs[0].no == len(jobs) - 1 and not _any_delayed(jobs):
        tx.run(tx.moves.ready_from_jobs, (jobs[0].no, jobs[-1].no))
    else:
        tx.run_many(tx.moves.put_ready, [_row(job) for job in jobs if not job.delayed])
        tx.run_many(tx.moves.put_delayed, [_row(job) for job in jobs if job.delayed])
    for job in jobs:
        spec = job.spec
        delta = tx.delta(job.queue, spec.queue)
        delta.gauges[DELAYED if job.delayed else WAITING] += 1
        delta.tallies[Tally.ADDED] += 1
        delta.woken = True
        if spec.ttl_ms is not None:
            tx.run(tx.moves.put_expiry, (tx.now + spec.ttl_ms, job.no))
        if job.flags & (KEEP_FAILED | KEEP_COMPLETED):
            _keep(tx, job)
    if tx.listening:
        _tell(tx, jobs)


def _any_delayed(jobs: Sequence[Placed]) -> bool:
    return any(job.delayed for job in jobs)


def _row(job: Placed) -> tuple[object, ...]:
    sign = -1 if job.flags & LIFO and not job.delayed else 1
    return (
        job.queue,
        -job.spec.priority,
        sign * job.due,
        sign * job.no,
        job.lane,
        0,
        0,
        job.flags,
        None,
    )


def _keep(tx: Transaction, job: Placed) -> None:
    completed, failed = job.spec.keep_completed, job.spec.keep_failed
    tx.run(
        tx.moves.put_keep,
        (
            job.no,
            None if completed is None else completed.count,
            None if completed is None else completed.age_ms,
            None if failed is None else failed.count,
            None if failed is None else failed.age_ms,
        ),
    )


def _tell(tx: Transaction, jobs: Sequence[Placed]) -> None:
    tx.events.extend(
        StoredEvent(
            kind=EventKind.ADDED,
            at=tx.now,
            queue=job.spec.queue,
            job_id=job.spec.id,
            name=job.spec.name,
        )
        for job in jobs
    )
