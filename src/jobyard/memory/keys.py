"""Dedup keys: which job holds one, and what an add with a key that is held does."""

from __future__ import annotations

import msgspec

from jobyard.events import EventKind
from jobyard.job import Added, AddOutcome, Dedup, DedupMode, JobSpec
from jobyard.memory.card import Card
from jobyard.memory.gates import Gate
from jobyard.memory.moves import block, enter, leave
from jobyard.memory.states import ACTIVE, BLOCKED
from jobyard.memory.step import Step
from jobyard.memory.yard import KeyHeld, Yard

__all__ = ["drop_free_keys", "hold_key", "meet_holder"]


def meet_holder(step: Step, spec: JobSpec, dedup: Dedup) -> Added | None:
    """Answer for a job whose key is held; `None` if it is free, or is to be taken over."""
    held = step.yard.keys.get((spec.queue, dedup.key))
    if held is None or not _is_held(step.yard, held, step.now):
        return None
    holder = _job_of(step.yard, held)
    if dedup.mode is DedupMode.REPLACE:
        if holder is None or holder.state.is_finished or holder.state is ACTIVE:
            return None
        _replace(step, holder, spec)
    if dedup.mode is not DedupMode.IGNORE and dedup.ttl_ms is not None:
        until = step.now + dedup.ttl_ms
        step.yard.keys[spec.queue, dedup.key] = msgspec.structs.replace(held, until=until)
    if holder is None:
        step.tell_key(spec.queue, held.job_id)
        return Added(held.job_id, AddOutcome.DEDUPLICATED, None)
    step.tell_job(EventKind.DEDUPLICATED, holder)
    return Added(holder.id, AddOutcome.DEDUPLICATED, holder.state)


def hold_key(step: Step, card: Card, dedup: Dedup) -> None:
    """Let a new job hold its key."""
    step.newcomers.add(card.id)  # a later job of this call may replace it
    until = None if dedup.ttl_ms is None else step.now + dedup.ttl_ms
    step.yard.keys[card.queue, dedup.key] = KeyHeld(job_id=card.id, no=card.no, until=until)


def drop_free_keys(yard: Yard, now: int) -> None:
    """Forget the keys that nobody can hold any more; a job that may be revived can (DEDUP-1)."""
    for key, held in tuple(yard.keys.items()):
        is_over = _job_of(yard, held) is None if held.until is None else held.until <= now
        if is_over:
            del yard.keys[key]


def _is_held(yard: Yard, held: KeyHeld, now: int) -> bool:
    if held.until is not None:
        return held.until > now
    holder = _job_of(yard, held)
    return holder is not None and not holder.state.is_finished


def _job_of(yard: Yard, held: KeyHeld) -> Card | None:
    card = yard.cards.get(held.job_id)
    return card if card is not None and card.no == held.no else None


def _replace(step: Step, holder: Card, spec: JobSpec) -> None:
    """Give a pending job what another one would have brought, due anew."""
    asked = spec.run_at if spec.run_at is not None else step.now + spec.delay_ms
    waits_for_parents = holder.state is BLOCKED and holder.gate == Gate.PARENTS
    leave(step, holder)
    step.newcomers.add(holder.id)
    holder.payload = spec.payload
    holder.options = spec.options
    holder.priority = spec.priority
    if waits_for_parents:
        block(step, holder, Gate.PARENTS, due_at=max(asked, step.now))
    else:
        enter(step, holder, due_at=max(asked, step.now))
