"""Settling: how the runs end that a lease holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from jobyard.events import EventKind
from jobyard.job import JobState, Reason
from jobyard.lease import (
    Cancelled,
    Done,
    Failed,
    Outcome,
    Released,
    Retried,
    Settled,
    Settlement,
    Snoozed,
    Stalled,
)
from jobyard.memory.card import Card
from jobyard.memory.moves import admit, enter, fail, finish, leave_run
from jobyard.memory.states import COMPLETED
from jobyard.memory.step import Step

__all__ = ["settle"]

OK: Final = Settled.OK  # named once for the reason told in states.py

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
    if step.logging:
        _tell(step, card, settlement)
    leave_run(step, card)
    card.settled_lease = lease.lease_id
    _end(step, card, settlement)
    return OK


def _end(step: Step, card: Card, settlement: Settlement) -> None:
    """Put a job, which has left its run, where the outcome leads."""
    minute = step.yard.queues[card.queue].tally.minute(step.now)
    match settlement.outcome:
        case Done(result):
            minute.ran_ms += settlement.ran_ms
            card.result = result
            finish(step, card, COMPLETED)
        case Retried(delay_ms, error):
            minute.ran_ms += settlement.ran_ms
            minute.retried += 1
            card.failures += 1
            card.error = error
            enter(step, card, due_at=step.now + delay_ms)
        case Failed(reason, error):
            minute.ran_ms += settlement.ran_ms
            card.failures += reason in COUNTED
            card.error = error
            fail(step, card, reason=reason)
        case Snoozed(delay_ms):
            enter(step, card, due_at=step.now + delay_ms)
        case Released():
            admit(step, card, due_at=card.due_at)
        case Cancelled():
            finish(step, card, JobState.CANCELLED)
        case Stalled(error):
            minute.ran_ms += settlement.ran_ms
            card.failures += 1
            card.error = error
            finish(step, card, JobState.STALLED)
        case _:
            assert_never(settlement.outcome)


def _tell(step: Step, card: Card, settlement: Settlement) -> None:
    """Append the events of an end, while the card still shows the run (EVENTS-5)."""
    attempt = card.failures + 1
    for kind, data in _news(settlement.outcome):
        step.tell_run(kind, card, attempt=attempt, ran_ms=settlement.ran_ms, data=data)


def _news(outcome: Outcome) -> list[tuple[EventKind, bytes | None]]:
    match outcome:
        case Done(result):
            news = [(EventKind.COMPLETED, result)]
        case Retried(_, error):
            news = [(EventKind.ATTEMPT_FAILED, error)]
        case Failed(reason, error):
            counted = [(EventKind.ATTEMPT_FAILED, error)] if reason in COUNTED else []
            news = [*counted, (EventKind.FAILED, error)]
        case Snoozed():
            news = [(EventKind.SNOOZED, None)]
        case Released():
            news = [(EventKind.RELEASED, None)]
        case Cancelled():
            news = [(EventKind.CANCELLED, None)]
        case Stalled(error):
            news = [(EventKind.STALLED, error)]
        case _:
            assert_never(outcome)
    return news
