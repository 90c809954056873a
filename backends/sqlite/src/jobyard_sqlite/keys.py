"""Dedup keys: which job holds one, and what an add with a key that is held does.

A key is looked at only when a job is added with it: whether its holder still holds it is found out
then, so that no claim and no end of a run has anything to do for it.
"""

from __future__ import annotations

from collections.abc import Callable

from jobyard.events import EventKind, StoredEvent
from jobyard.job import Added, AddOutcome, Dedup, DedupMode, JobSpec
from jobyard_sql.codes import ACTIVE
from jobyard_sql.looking import Standing
from jobyard_sqlite.passing import enter
from jobyard_sqlite.transaction import Transaction
from jobyard_sqlite.transitions import block, leave, set_priority, standing, state_of

__all__ = ["hold_key", "meet_holder"]


def meet_holder(
    tx: Transaction, spec: JobSpec, dedup: Dedup, write: Callable[[], None]
) -> Added | None:
    """Answer for a job whose key is held; `None` if it is free, or is to be taken over.

    `write` writes what of the call is not in the store yet.
    """
    queue = tx.queue(spec.queue)
    held = None if queue is None else tx.row(tx.gating.key, (queue.id, dedup.key))
    if queue is None or held is None:
        return None
    no, job_id, until = held
    write()
    holder = standing(tx, (no,)).get(no)
    if not _is_held(tx, holder, until):
        return None
    if dedup.mode is DedupMode.REPLACE:
        if holder is None or holder.state == ACTIVE or state_of(holder).is_finished:
            return None
        holder = _replace(tx, holder, spec)
    if dedup.mode is not DedupMode.IGNORE and dedup.ttl_ms is not None:
        tx.run(tx.gating.hold_on, (tx.now + dedup.ttl_ms, queue.id, dedup.key))
    if holder is None:
        _tell_key(tx, spec.queue, job_id)
        return Added(job_id, AddOutcome.DEDUPLICATED, None)
    tx.tell(EventKind.DEDUPLICATED, holder, of_run=False)
    return Added(job_id, AddOutcome.DEDUPLICATED, state_of(holder))


def hold_key(tx: Transaction, job: Standing, dedup: Dedup) -> None:
    """Let a new job hold its key."""
    until = None if dedup.ttl_ms is None else tx.now + dedup.ttl_ms
    tx.run(tx.gating.hold_key, (job.queue_id, dedup.key, job.no, job.id, until))


def _is_held(tx: Transaction, holder: Standing | None, until: int | None) -> bool:
    if until is not None:
        return until > tx.now
    return holder is not None and not state_of(holder).is_finished


def _tell_key(tx: Transaction, queue: str, holder: str) -> None:
    if tx.listening:
        tx.events.append(
            StoredEvent(kind=EventKind.DEDUPLICATED, at=tx.now, queue=queue, job_id=holder, name="")
        )


def _replace(tx: Transaction, holder: Standing, spec: JobSpec) -> Standing:
    """Give a pending job what another one would have brought, due anew; show it as it is then."""
    due = max(tx.now + spec.delay_ms if spec.run_at is None else spec.run_at, tx.now)
    leave(tx, holder)
    tx.run(tx.gating.set_body, (spec.payload, spec.options, holder.no))
    anew = set_priority(tx, holder, -spec.priority)
    if holder.line is not None and holder.line < 0:
        state = block(tx, anew, line=holder.line, due=due)
    else:
        state = enter(tx, anew, due=due)
    return anew._replace(state=state)
