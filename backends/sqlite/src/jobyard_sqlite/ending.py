"""How a job ends, what that means for others, and how its record goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from jobyard.job import Reason
from jobyard_sql.codes import (
    ACTIVE,
    BLOCKED,
    CANCEL_ASKED,
    CANCELLED,
    CHILD,
    COMPLETED,
    DEAD,
    DEAD_LETTER,
    DELAYED,
    DROP,
    FAILED,
    GATED,
    KEEP_COMPLETED,
    KEEP_FAILED,
    KEYED,
    LIFO,
    PARENT,
    STALLED,
    WAITING,
    Tally,
)
from jobyard_sql.looking import Standing
from jobyard_sqlite.passing import enrol_again, strike
from jobyard_sqlite.transaction import Parent, Transaction
from jobyard_sqlite.transitions import json_list, standing_by_id, state_of

COUNTED: Final = {
    COMPLETED: Tally.COMPLETED,
    FAILED: Tally.FAILED,
    CANCELLED: Tally.CANCELLED,
    STALLED: Tally.FAILED,
    DEAD: Tally.FAILED,
}


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ends; `settled` says that its lease ended it."""

    state: int
    failures: int
    crashes: int
    settled: bool
    reason: Reason | None = None
    result: bytes | None = None
    error: bytes | None = None


def failed_state(job: Standing) -> int:
    """Tell where a job goes that fails for good."""
    return DEAD if job.flags & DEAD_LETTER else FAILED


def renew(tx: Transaction, job: Standing) -> Standing:
    """Let a job that has left its finished state start anew, its time to live whole."""
    flags = job.flags & ~CANCEL_ASKED
    expires_at = None if job.ttl_ms is None else tx.now + job.ttl_ms
    if (flags, expires_at) != (job.flags, job.expires_at):
        tx.run(tx.moves.renew_job, (flags, expires_at, job.no))
    if expires_at is not None:
        tx.run(tx.moves.put_expiry, (expires_at, job.no))
    job = job._replace(flags=flags, expires_at=expires_at)
    if flags & CHILD:
        parents = [parent for (parent,) in tx.rows(tx.gating.attach, (job.no,))]
        for parent in standing_by_id(tx, parents).values():
            mark_parent(tx, parent)
    return enrol_again(tx, job) if flags & GATED else job


def mark_parent(tx: Transaction, job: Standing) -> None:
    """Note that a job has children, whatever state it is in."""
    if job.flags & PARENT:
        return
    sign = -1 if job.flags & LIFO else 1
    tx.run(tx.gating.mark["job"], (PARENT, job.no))
    if job.state == WAITING:
        place = (job.ready_queue, job.prio, sign * job.due, sign * job.no)
        tx.run(tx.gating.mark["ready"], (PARENT, *place))
    elif job.state == DELAYED:
        tx.run(tx.gating.mark["delayed"], (PARENT, job.queue_id, job.due, job.no))
    elif job.state == BLOCKED:
        place = (job.line, job.prio, sign * job.due, sign * job.no)
        tx.run(tx.gating.mark["blocked"], (PARENT, *place))
    elif job.state == ACTIVE:
        tx.run(tx.gating.mark["running"], (PARENT, job.no))


def finish(tx: Transaction, job: Standing, end: Ended) -> None:
    """End a job that has left its state, and keep its record as its rules say."""
    delta = tx.of(job)
    delta.tally(COUNTED[end.state])
    if not state_of(job).is_finished:
        part(tx, job)
    if job.flags & PARENT and end.state != STALLED:
        tx.ended.append(Parent(job.id, completed=end.state == COMPLETED, gone=False))
    count, age = _rule(tx, job, end.state)
    if count == 0 and not _is_needed(tx, job):
        erase(tx, (job.no,), job.flags)
        return
    tx.run(
        tx.moves.put_done,
        (
            job.no,
            job.queue_id,
            end.state,
            tx.now,
            job.fence,
            job.started_at,
            job.worker,
            end.failures,
            end.crashes,
            end.settled,
            None if age is None else tx.now + age,
            count,
            end.reason,
            end.result,
            end.error,
        ),
    )
    delta.gauges[end.state] += 1
    if count:
        most = tx.present(job, end.state) - count
        beyond = tx.rows(tx.moves.beyond, (job.queue_id, end.state, tx.keep_room, most))
        tx.keep_room -= len(beyond)
        erase_finished(tx, beyond)
        delta.gauges[end.state] -= len(beyond)


def part(tx: Transaction, job: Standing) -> None:
    """Let go of the gates and the parents of a job that was unfinished, and ends or goes."""
    if job.flags & GATED:
        strike(tx, job)
    if job.flags & CHILD:
        tx.run(tx.gating.detach, (json_list((job.no,)),))


def _is_needed(tx: Transaction, job: Standing) -> bool:
    """Tell whether an unfinished job depends on a job (DEP-4)."""
    return bool(job.flags & PARENT) and tx.row(tx.gating.is_needed, (job.id,)) is not None


def _rule(tx: Transaction, job: Standing, state: int) -> tuple[int | None, int | None]:
    """Return the count and the age to which a job's own rule bounds its record."""
    if state == COMPLETED:
        if job.flags & DROP:
            return 0, None
        if job.flags & KEEP_COMPLETED:
            row = tx.row(tx.moves.keep, (job.no,))
            return row[0], row[1]
    elif state != STALLED and job.flags & KEEP_FAILED:
        row = tx.row(tx.moves.keep, (job.no,))
        return row[2], row[3]
    return None, None


def erase_finished(tx: Transaction, jobs: Sequence[tuple[int, int]]) -> None:
    """Leave no trace of finished jobs, of which number and flags are given."""
    if jobs:
        numbers, flags = [no for no, _ in jobs], 0
        for _, each in jobs:
            flags |= each
        tx.run(tx.moves.erase_done, (json_list(numbers),))
        erase(tx, numbers, flags)


def forget(tx: Transaction, job: Standing) -> None:
    """Let nobody wait any more for a job that has left its state; its rows stay to be erased."""
    state = state_of(job)
    if not state.is_finished:
        part(tx, job)
    if job.flags & PARENT and (not state.is_finished or job.state == STALLED):
        tx.ended.append(Parent(job.id, completed=False, gone=True))


def erase(tx: Transaction, numbers: Sequence[int], flags: int) -> None:
    """Leave no trace of jobs that have left their state; `flags` are those of any of them."""
    if not numbers:
        return
    listed = (json_list(numbers),)
    if flags & GATED:
        tx.run(tx.gating.erase_gated, listed)
    if flags & CHILD:
        tx.run(tx.gating.erase_parents, listed)
    if flags & KEYED:
        tx.run_many(tx.gating.drop_key, tx.rows(tx.gating.held_keys, listed))
    tx.run(tx.moves.erase_expiry, listed)
    for statement in tx.moves.erase:
        tx.run(statement, listed)
