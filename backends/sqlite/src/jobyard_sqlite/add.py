"""Storing jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
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

NOWHERE = (0, 0)
"""The queue and lane of a job that is there already: its row will be passed over."""

Row = tuple[object, ...]
"""The parameters of `Moves.add_job`: a plain tuple, which the driver binds fastest."""


class Placed(NamedTuple):
    """Where a new job goes: into `delayed` if its due is not now."""

    spec: JobSpec
    no: int
    queue: int
    lane: int
    due: int
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
    if len(specs) == 1:
        return [(_add_one(tx, specs[0]),) if unit else () for unit in units]
    answers = iter(_store(tx, _place(tx, specs)))
    return [tuple(islice(answers, len(unit))) for unit in units]


def _add_one(tx: Transaction, spec: JobSpec) -> Added:
    """Store one job: what an app that adds job by job waits for."""
    now = tx.now
    if tx.queue(spec.queue) is None and (found := standing_by_id(tx, (spec.id,)).get(spec.id)):
        return Added(spec.id, AddOutcome.EXISTS, state_of(found))  # and the queue stays unknown
    queue = tx.make_queue(spec.queue)
    lane = tx.lane(queue, spec.channel, spec.name)
    due = now + spec.delay_ms if spec.run_at is None else spec.run_at
    job = Placed(spec, tx.take_jobs(1), queue.id, lane, max(due, now), flags_of(spec))
    if not tx.run(tx.moves.add_job, _row(job, now)):
        found = standing_by_id(tx, (spec.id,))[spec.id]
        return Added(spec.id, AddOutcome.EXISTS, state_of(found))
    delayed = due > now
    tx.run(tx.moves.put_delayed if delayed else tx.moves.put_ready, _standing(job, now))
    delta = tx.delta(queue.id, queue.name)
    delta.gauges[DELAYED if delayed else WAITING] += 1
    delta.tally(Tally.ADDED)
    delta.woken = True
    _note(tx, job)
    if tx.listening:
        _tell(tx, (spec,))
    state = JobState.DELAYED if delayed else JobState.WAITING
    return Added(spec.id, AddOutcome.CREATED, state)


def _place(tx: Transaction, specs: Sequence[JobSpec]) -> list[Placed]:
    """Number the jobs, and decide where each goes."""
    now = tx.now
    lanes: dict[tuple[str, str, str], tuple[int, int]] = {}
    stray = _strays(tx, specs)
    placed = []
    first = tx.take_jobs(len(specs))
    for no, spec in enumerate(specs, first):
        key = (spec.queue, spec.channel, spec.name)
        found = lanes.get(key)
        if no - first in stray:
            found = NOWHERE
        elif found is None:
            queue = tx.make_queue(spec.queue)
            found = lanes[key] = (queue.id, tx.lane(queue, spec.channel, spec.name))
        due = now + spec.delay_ms if spec.run_at is None else spec.run_at
        due = max(due, now)
        placed.append(Placed(spec, no, found[0], found[1], due, flags_of(spec)))
    return placed


def _strays(tx: Transaction, specs: Sequence[JobSpec]) -> frozenset[int]:
    """Tell which of the jobs are there already and may not make their queue known (ADD-3)."""
    unknown = {queue for queue in {spec.queue for spec in specs} if tx.queue(queue) is None}
    if not unknown:
        return frozenset()
    there = set(standing_by_id(tx, {spec.id for spec in specs}))
    strays = []
    for index, spec in enumerate(specs):
        if spec.id in there and spec.queue in unknown:
            strays.append(index)
        there.add(spec.id)
    return frozenset(strays)


def _row(job: Placed, now: int) -> Row:
    spec, no, queue, lane, due, flags = job
    ttl_ms = spec.ttl_ms
    return (
        no,
        spec.id,
        queue,
        lane,
        -spec.priority,
        due,
        now,
        spec.attempts,
        spec.max_crashes,
        flags,
        ttl_ms,
        None if ttl_ms is None else now + ttl_ms,
        spec.payload,
        spec.options,
    )


def _store(tx: Transaction, placed: Sequence[Placed]) -> list[Added]:
    """Write the jobs whose ids are new."""
    now, sql = tx.now, tx.moves.add_job
    rows = [_row(job, now) for job in placed]
    written = tx.run_many(sql, rows)
    if written == len(rows):
        _enter(tx, placed)
        created, waiting, delayed = AddOutcome.CREATED, JobState.WAITING, JobState.DELAYED
        return [
            Added(job.spec.id, created, delayed if job.due > now else waiting) for job in placed
        ]
    written_nos = {no for (no,) in tx.rows(tx.moves.added, (placed[0].no, placed[-1].no))}
    _enter(tx, [job for job in placed if job.no in written_nos])
    found = standing_by_id(tx, {job.spec.id for job in placed})
    return [
        Added(
            job.spec.id,
            AddOutcome.CREATED if job.no in written_nos else AddOutcome.EXISTS,
            state_of(found[job.spec.id]),
        )
        for job in placed
    ]


def _enter(tx: Transaction, jobs: Sequence[Placed]) -> None:
    """Put new jobs into their first state, and count and tell them."""
    if not jobs:
        return
    now = tx.now
    delayed = [job for job in jobs if job.due > now]
    if not delayed and jobs[-1].no - jobs[0].no == len(jobs) - 1:
        tx.run(tx.moves.ready_from_jobs, (jobs[0].no, jobs[-1].no))
    else:
        ready = [_standing(job, now) for job in jobs if job.due <= now]
        tx.run_many(tx.moves.put_ready, ready)
        tx.run_many(tx.moves.put_delayed, [_standing(job, now) for job in delayed])
    _count(tx, jobs, delayed)
    for job in jobs:
        _note(tx, job)
    if tx.listening:
        _tell(tx, [job.spec for job in jobs])


def _note(tx: Transaction, job: Placed) -> None:
    """Note a job's time to live, and its rules for its record."""
    if job.spec.ttl_ms is not None:
        tx.run(tx.moves.put_expiry, (tx.now + job.spec.ttl_ms, job.no))
    if job.flags & (KEEP_FAILED | KEEP_COMPLETED):
        _keep(tx, job.no, job.spec)


def _standing(job: Placed, now: int) -> Row:
    """Return a job's row in `ready` or `delayed`."""
    sign = -1 if job.flags & LIFO and job.due <= now else 1
    prio = -job.spec.priority
    return (job.queue, prio, sign * job.due, sign * job.no, job.lane, 0, 0, job.flags, None)


def _count(tx: Transaction, jobs: Sequence[Placed], delayed: Sequence[Placed]) -> None:
    """Count new jobs in their queues."""
    later = Counter([job.queue for job in delayed])
    names = {job.queue: job.spec.queue for job in jobs}
    for number, count in Counter([job.queue for job in jobs]).items():
        delta = tx.delta(number, names[number])
        delta.gauges[DELAYED] += later[number]
        delta.gauges[WAITING] += count - later[number]
        delta.tally(Tally.ADDED, count)
        delta.woken = True


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
