"""Edits from outside a run: to single jobs, and to queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from jobyard.edits import (
    Cancel,
    Change,
    Changed,
    ChangeOutcome,
    Control,
    Declare,
    Move,
    Pause,
    Remove,
    Reschedule,
    Resume,
    Revive,
    RunNow,
    SetPayload,
    SetPriority,
    SetProgress,
)
from jobyard.events import EventKind
from jobyard.job import FINISHED, PENDING, JobState, Reason
from jobyard.limit import HoldBack, Limit
from jobyard.memory.card import Card
from jobyard.memory.gates import Gate
from jobyard.memory.moves import admit, block, enter, finish, forget, leave, revive
from jobyard.memory.step import Step

__all__ = ["change", "control"]

MOVABLE = {
    JobState.WAITING: FINISHED | {JobState.ACTIVE},
    JobState.COMPLETED: PENDING | {JobState.ACTIVE, JobState.STALLED},
    JobState.FAILED: PENDING | {JobState.ACTIVE, JobState.STALLED},
    JobState.STALLED: frozenset({JobState.ACTIVE}),
}
"""Where `Move` may put a job, and from which states."""


def change(step: Step, job_ids: Sequence[str], wish: Change) -> tuple[Changed, ...]:
    """Apply one change to each of some jobs; the answers are in the order asked."""
    return tuple(_change_one(step, job_id, wish) for job_id in job_ids)


def _change_one(step: Step, job_id: str, wish: Change) -> Changed:
    card = step.yard.cards.get(job_id)
    if card is None:
        return Changed(ChangeOutcome.NOT_FOUND)
    if card.state not in _fitting(wish):
        return Changed(ChangeOutcome.WRONG_STATE, card.state)
    if isinstance(wish, Cancel) and card.state is JobState.ACTIVE:
        card.cancel_asked = True
        return Changed(ChangeOutcome.ASKED, card.state)
    _apply(step, card, wish)
    return Changed(ChangeOutcome.OK, card.state)


def _fitting(wish: Change) -> frozenset[JobState]:  # noqa: C901 - an arm a change
    """Tell the states of the jobs that a change fits."""
    match wish:
        case RunNow():
            states = frozenset({JobState.DELAYED})
        case Reschedule():
            states = frozenset({JobState.WAITING, JobState.DELAYED})
        case SetPriority():
            states = PENDING
        case SetPayload():
            states = PENDING | {JobState.ACTIVE}
        case SetProgress():
            states = frozenset({JobState.ACTIVE})
        case Revive():
            states = FINISHED - {JobState.COMPLETED}
        case Cancel(running=running):
            states = PENDING | {JobState.ACTIVE} if running else PENDING
        case Remove():
            states = PENDING | FINISHED
        case Move(to=to):
            states = MOVABLE.get(to, frozenset())
        case _:
            assert_never(wish)
    return states


def _apply(step: Step, card: Card, wish: Change) -> None:  # noqa: C901 - an arm a change
    match wish:
        case RunNow():
            leave(step, card)
            admit(step, card, due_at=step.now)
        case Reschedule(delay_ms=delay_ms, run_at=run_at):
            leave(step, card)
            enter(step, card, due_at=step.now + delay_ms if run_at is None else run_at)
        case SetPriority(priority):
            _set_priority(step, card, priority)
        case SetPayload(payload):
            card.payload = payload
        case SetProgress(value):
            card.progress = value
            step.tell_run(EventKind.PROGRESS, card, attempt=card.failures + 1, data=value)
        case Revive(reset=reset):
            leave(step, card)
            card.crashes = 0
            card.failures = 0 if reset else max(min(card.failures, card.attempts - 1), 0)
            step.tell_job(EventKind.REVIVED, card)
            revive(step, card)
        case Cancel():
            leave(step, card)
            step.tell_job(EventKind.CANCELLED, card)
            finish(step, card, JobState.CANCELLED)
        case Remove():
            _remove(step, card)
        case Move():
            _move(step, card, wish)
        case _:
            assert_never(wish)


def _set_priority(step: Step, card: Card, priority: int) -> None:
    was = card.state
    if was is JobState.DELAYED:
        card.priority = priority
        return
    leave(step, card)
    card.priority = priority
    if was is JobState.BLOCKED:
        block(step, card, Gate(card.gate), due_at=card.due_at)
    else:
        admit(step, card, due_at=card.due_at)


def _remove(step: Step, card: Card) -> None:
    step.tell_job(EventKind.REMOVED, card)
    step.yard.queue_of(card).tally.minute(step.now).removed += 1
    leave(step, card)
    forget(step, card)


def _move(step: Step, card: Card, wish: Move) -> None:
    """Put a job into a state by hand; `MOVABLE` has let it through."""
    was, attempt = card.state, card.failures + 1
    leave(step, card)
    match wish.to:
        case JobState.WAITING if was is JobState.ACTIVE:
            step.tell_run(EventKind.RELEASED, card, attempt=attempt)
            admit(step, card, due_at=step.now)
        case JobState.WAITING:
            step.tell_job(EventKind.REVIVED, card)
            revive(step, card)
        case JobState.COMPLETED:
            card.result = wish.result
            step.tell_job(EventKind.COMPLETED, card, data=wish.result)
            finish(step, card, JobState.COMPLETED)
        case JobState.FAILED:
            card.error = wish.error
            step.tell_job(EventKind.FAILED, card, data=wish.error)
            card.reason = Reason.ADMIN
            finish(step, card, JobState.FAILED)
        case JobState.STALLED:
            card.error = wish.error
            step.tell_run(EventKind.STALLED, card, attempt=attempt, data=wish.error)
            finish(step, card, JobState.STALLED)
        case _:
            raise AssertionError(wish.to)


def control(step: Step, queue: str, wish: Control) -> None:
    """Apply a control to a queue, making it known if it is not."""
    found = step.yard.queue(queue)
    match wish:
        case Declare():
            pass  # `queue` has made it known
        case Pause():
            if not found.paused:
                found.paused = True
                step.tell_queue(EventKind.PAUSED, queue)
        case Resume():
            if found.paused:
                found.paused = False
                step.tell_queue(EventKind.RESUMED, queue)
            step.woken.add(queue)
        case Limit():
            step.yard.limiter(found, wish.name).limit(wish)
            found.drop_spent_limiters(step.now)
            step.woken.add(queue)
        case HoldBack(ms=ms, name=name):
            step.yard.limiter(found, name).hold(ms, step.now)
            found.drop_spent_limiters(step.now)
            step.woken.add(queue)
        case _:
            assert_never(wish)
