"""How a new job is written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from jobyard.events import EventKind, StoredEvent
from jobyard.job import JobSpec
from jobyard_sql.codes import (
    BLOCKED,
    CHILD,
    DEAD_LETTER,
    DROP,
    GROUP,
    KEEP_COMPLETED,
    KEEP_FAILED,
    KEYED,
    LIFO,
    RATE,
)
from jobyard_sql.looking import Standing
from jobyard_sqlite.transaction import Transaction

Row = tuple[object, ...]
"""The parameters of a statement: a plain tuple, which the driver binds fastest."""


class Placed(NamedTuple):
    """Where a new job goes: into `delayed` if its due is not now."""

    spec: JobSpec
    no: int
    queue: int
    lane: int
    due: int
    flags: int


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


def tied_flags_of(spec: JobSpec) -> int:
    """Write what ties a job to others as flags."""
    flags = 0
    if spec.group is not None:
        flags |= GROUP
    if spec.rate is not None:
        flags |= RATE
    if spec.dedup is not None:
        flags |= KEYED
    if spec.depends_on:
        flags |= CHILD
    return flags


def job_row(job: Placed, now: int) -> Row:
    """Write the parameters of `Moves.add_job`."""
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
        None if spec.dedup is None else spec.dedup.key,
    )


def note(tx: Transaction, job: Placed) -> None:
    """Note a job's time to live, and its rules for its record."""
    if job.spec.ttl_ms is not None:
        tx.run(tx.moves.put_expiry, (tx.now + job.spec.ttl_ms, job.no))
    if job.flags & (KEEP_FAILED | KEEP_COMPLETED):
        _keep(tx, job.no, job.spec)


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


def tell_added(tx: Transaction, specs: Iterable[JobSpec]) -> None:
    """Tell that jobs were added."""
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


def gated_row(job: Standing) -> Row:
    """Write the parameters of `Gating.put_gated`."""
    return (
        job.no,
        job.grp,
        job.group,
        job.places,
        job.placed or 0,
        job.rate,
        job.rate_key,
        job.starts,
        job.per_ms,
        job.slot_at,
    )


def newcomer(
    spec: JobSpec, *, no: int, queue: int, lane: int, due: int, now: int, flags: int
) -> Standing:
    """Show a job that is in no state yet, as if it were blocked."""
    group, rate = spec.group, spec.rate
    return Standing(
        no=no,
        id=spec.id,
        queue_id=queue,
        queue=spec.queue,
        lane=lane,
        name=spec.name,
        channel=spec.channel,
        state=BLOCKED,
        payload=spec.payload,
        options=spec.options,
        prio=-spec.priority,
        attempts=spec.attempts,
        max_crashes=spec.max_crashes,
        flags=flags,
        ttl_ms=spec.ttl_ms,
        failures=0,
        crashes=0,
        fence=0,
        created_at=now,
        due=due,
        started_at=None,
        finished_at=None,
        expires_at=None if spec.ttl_ms is None else now + spec.ttl_ms,
        lease_until=None,
        worker=None,
        cancel_asked=0,
        settled=0,
        progress=None,
        result=None,
        error=None,
        reason=None,
        ready_queue=None,
        line=None,
        dedup=None if spec.dedup is None else spec.dedup.key,
        grp=None,
        group=None if group is None else group.key,
        places=None if group is None else group.limit,
        placed=0,
        rate=None,
        rate_key=None if rate is None else rate.key,
        starts=None if rate is None else rate.count,
        per_ms=None if rate is None else rate.per_ms,
        slot_at=None,
    )
