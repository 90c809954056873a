"""Settling: how the runs end that a lease holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from jobyard.events import EventKind
from jobyard.job import JobState, Reason
from jobyard.lease import (
    Cancelled,
    Done,
    Failed,
    Released,
    Retried,
    Settled,
    Settlement,
    Snoozed,
    Stalled,
)
from jobyard.memory.card import Card
from jobyard.memory.moves import admit, enter, fail, finish, leave
from jobyard.memory.step import Step

__all__ = ["settle"]

COUNTED = frozenset({Reason.EXHAUSTED, Reason.REFUSED})
"""The reasons of `Failed` that mean that the run itself failed (SETTLE-7)."""


def settle(step: Step, settlements: Sequence[Settlement]) -> tuple[Settled, ...]:
    """End runs; each answer stands on its own."""
    return tuple(_settle_one(step, settlement) for settlement in settlements)


def _settle_one(step: Step, settlement: Settlement) -> Settled:
    lease = settlement.lease
    card = step.yard.cards.get(lease.job_id)
    if card is None:
        return Settled.GONE
    if card.lease_id != lease.lease_id:
        return Settled.ALREADY if card.settled_lease == lease.lease_id else Settled.LOST
    leave(step, card)
    card.settled_lease = lease.lease_id
    _end(step, card, settlement)
    return Settled.OK


def _end(step: Step, card: Card, settlement: Settlement) -> None:  # noqa: C901 - an arm an outcome
    """Put the job where the outcome leads. The event comes first: the job may be gone after."""
    attempt, ran_ms = card.failures + 1, settlement.ran_ms

    def tell(kind: EventKind, data: bytes | None = None) -> None:
        step.tell_run(kind, card, attempt=attempt, ran_ms=ran_ms, data=data)

    match settlement.outcome:
        case Done(result):
            _count_run(step, card, ran_ms)
            card.result = result
            tell(EventKind.COMPLETED, result)
            finish(step, card, JobState.COMPLETED)
        case Retried(delay_ms, error):
            _count_run(step, card, ran_ms)
            step.yard.queue_of(card).tally.minute(step.now).retried += 1
            card.failures += 1
            card.error = error
            tell(EventKind.ATTEMPT_FAILED, error)
            enter(step, card, due_at=step.now + delay_ms)
        case Failed(reason, error):
            _count_run(step, card, ran_ms)
            card.error = error
            if reason in COUNTED:
                card.failures += 1
                tell(EventKind.ATTEMPT_FAILED, error)
            tell(EventKind.FAILED, error)
            fail(step, card, reason=reason)
        case Snoozed(delay_ms):
            tell(EventKind.SNOOZED)
            enter(step, card, due_at=step.now + delay_ms)
        case Released():
            tell(EventKind.RELEASED)
            admit(step, card, due_at=card.due_at)
        case Cancelled():
            tell(EventKind.CANCELLED)
            finish(step, card, JobState.CANCELLED)
        case Stalled(error):
            _count_run(step, card, ran_ms)
            card.failures += 1
            card.error = error
            tell(EventKind.STALLED, error)
            finish(step, card, JobState.STALLED)
        case _:
            assert_never(settlement.outcome)


def _count_run(step: Step, card: Card, ran_ms: int) -> None:
    step.yard.queue_of(card).tally.minute(step.now).ran_ms += ran_ms
