"""The moves: every way of a job from one place in the yard to another.

A transition is made of `leave` and one of `admit`, `delay`, `finish` and `forget`; `claims.py`
alone has a move of its own, from waiting to active. So an invariant of a place is kept here and
nowhere else.
"""

from __future__ import annotations

from typing import assert_never

from jobyard.job import JobState, Reason
from jobyard.memory.card import Card
from jobyard.memory.queue import YardQueue
from jobyard.memory.states import ACTIVE, CANCELLED, COMPLETED, DELAYED, WAITING
from jobyard.memory.step import Step
from jobyard.memory.tally import Minute

__all__ = ["admit", "delay", "enter", "fail", "finish", "forget", "leave", "leave_run", "revive"]


def leave(step: Step, card: Card) -> None:
    """Take a job out of the place that it is in; the caller puts it into another at once."""
    queue = step.yard.queues[card.queue]
    queue.counts[card.state] -= 1
    card.ticket = 0
    match card.state:
        case JobState.WAITING:
            queue.step_out(card)
            step.lessened.add(card.queue)
        case JobState.DELAYED:
            queue.delayed.left()
            if card.due_at <= step.now:
                step.lessened.add(card.queue)
        case JobState.ACTIVE:
            step.yard.let_go(card)
            step.lessened.add(card.queue)
        case JobState.BLOCKED:
            pass  # stands in no line
        case (
            JobState.COMPLETED
            | JobState.FAILED
            | JobState.CANCELLED
            | JobState.STALLED
            | JobState.DEAD
        ):
            queue.shelves[card.state].line_of(card).left()
        case _:
            assert_never(card.state)


def leave_run(step: Step, card: Card) -> None:
    """Do what `leave` does, for a job that is active: the hot path knows that it is."""
    queue = step.yard.queues[card.queue]
    queue.counts[ACTIVE] -= 1
    step.yard.let_go(card)
    step.lessened.add(card.queue)


def admit(step: Step, card: Card, *, due_at: int) -> None:
    """Let a job wait: the one way into waiting, whatever it comes from.

    What will hold jobs back one day (groups, rates) belongs here.
    """
    queue = step.yard.queues[card.queue]
    card.state = WAITING
    card.due_at = due_at
    card.ticket = step.yard.ticket()
    queue.counts[WAITING] += 1
    queue.line_up(card)
    step.woken.add(card.queue)


def delay(step: Step, card: Card, *, due_at: int) -> None:
    """Let a job be due later. Whoever sleeps until a later due has to know: it wakes, too."""
    queue = step.yard.queues[card.queue]
    card.state = DELAYED
    card.due_at = due_at
    card.ticket = step.yard.ticket()
    queue.counts[DELAYED] += 1
    queue.delayed.join((due_at, card.no), card)
    step.woken.add(card.queue)


def enter(step: Step, card: Card, *, due_at: int) -> None:
    """Let a job be due at an instant, or now if that is not in the future."""
    if due_at > step.now:
        delay(step, card, due_at=due_at)
    else:
        admit(step, card, due_at=step.now)


def revive(step: Step, card: Card) -> None:
    """Let a job that has left its place wait anew, its end forgotten."""
    card.result = None
    card.error = None
    card.reason = None
    card.finished_at = None
    card.cancel_asked = False
    if card.ttl_ms is not None:
        card.expires_at = step.now + card.ttl_ms
    admit(step, card, due_at=step.now)
    step.yard.watch(card)


def fail(step: Step, card: Card, *, reason: Reason) -> None:
    """End a job, which has left its place, as failed, or dead if it asked to be kept so."""
    card.reason = reason
    finish(step, card, JobState.DEAD if card.dead_letter else JobState.FAILED)


def finish(step: Step, card: Card, state: JobState) -> None:
    """End a job, which has left its place, and apply its keep rule (SETTLE-11).

    A rule that keeps none is about the job alone; one that keeps some takes older jobs along.
    """
    yard = step.yard
    queue = yard.queues[card.queue]
    card.state = state
    card.finished_at = step.now
    card.ticket = yard.ticket()
    yard.unwatch(card)
    _count_end(queue.tally.minute(step.now), state)
    keep = card.keep
    if keep is not None and keep.count == 0:
        forget(step, card)
        return
    queue.counts[state] += 1
    queue.shelves[state].put(card)
    if keep is not None and keep.count is not None:
        _prune(step, queue, state, keep.count)


def _prune(step: Step, queue: YardQueue, state: JobState, count: int) -> None:
    while queue.counts[state] > count and step.prunable:
        step.prunable -= 1
        oldest = queue.shelves[state].oldest()
        assert oldest is not None
        leave(step, oldest)
        forget(step, oldest)


def forget(step: Step, card: Card) -> None:
    """Remove a job, which has left its place, without a trace but the totals."""
    del step.yard.cards[card.id]
    step.yard.lines.pop(card.id, None)
    step.yard.unwatch(card)


def _count_end(minute: Minute, state: JobState) -> None:
    if state is COMPLETED:
        minute.completed += 1
    elif state is CANCELLED:
        minute.cancelled += 1
    else:
        minute.failed += 1
