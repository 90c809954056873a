"""Storing jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice

from jobyard.job import Added, AddOutcome, JobSpec, JobState, Unit
from jobyard_sql.codes import DELAYED, LIFO, WAITING, Tally
from jobyard_sqlite.specs import Placed, Row, flags_of, job_row, note, tell_added
from jobyard_sqlite.tied import TiedAdd
from jobyard_sqlite.transaction import Transaction
from jobyard_sqlite.transitions import standing_by_id, state_of

NOWHERE = (0, 0)
"""The queue and lane of a job that is there already: its row will be passed over."""


def add(tx: Transaction, units: Sequence[Unit]) -> list[tuple[Added, ...]]:
    """Store units of jobs; answer for each job."""
    if len(units) == 1 and len(units[0]) == 1 and not _is_tied(units[0][0]):
        return [(_add_one(tx, units[0][0]),)]
    specs = [spec for unit in units for spec in unit]
    if not specs:
        return [() for _ in units]
    if any(map(_is_tied, specs)):
        return TiedAdd(tx, units).add()
    answers = iter(_store(tx, _place(tx, specs)))
    return [tuple(islice(answers, len(unit))) for unit in units]


def _is_tied(spec: JobSpec) -> bool:
    """Tell whether a job means something to others, or they to it."""
    return bool(spec.group or spec.dedup or spec.depends_on or spec.rate)


def _add_one(tx: Transaction, spec: JobSpec) -> Added:
    """Store one job: what an app that adds job by job waits for."""
    now = tx.now
    if tx.queue(spec.queue) is None and (found := standing_by_id(tx, (spec.id,)).get(spec.id)):
        return Added(spec.id, AddOutcome.EXISTS, state_of(found))  # and the queue stays unknown
    queue = tx.make_queue(spec.queue)
    lane = tx.lane(queue, spec.channel, spec.name)
    due = now + spec.delay_ms if spec.run_at is None else spec.run_at
    job = Placed(spec, tx.take_jobs(1), queue.id, lane, max(due, now), flags_of(spec))
    if not tx.run(tx.moves.add_job, job_row(job, now)):
        found = standing_by_id(tx, (spec.id,))[spec.id]
        return Added(spec.id, AddOutcome.EXISTS, state_of(found))
    delayed = due > now
    tx.run(tx.moves.put_delayed if delayed else tx.moves.put_ready, _standing(job, now))
    delta = tx.delta(queue.id, queue.name)
    delta.gauges[DELAYED if delayed else WAITING] += 1
    delta.tally(Tally.ADDED)
    delta.woken = True
    note(tx, job)
    if tx.listening:
        tell_added(tx, (spec,))
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


def _store(tx: Transaction, placed: Sequence[Placed]) -> list[Added]:
    """Write the jobs whose ids are new."""
    now, sql = tx.now, tx.moves.add_job
    rows = [job_row(job, now) for job in placed]
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
        note(tx, job)
    if tx.listening:
        tell_added(tx, [job.spec for job in jobs])


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
