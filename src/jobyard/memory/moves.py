"""The moves: every way of a job from one place in the yard to another.

A transition is made of `leave` and one of `admit`, `delay`, `block`, `finish` and `forget`;
`claims.py` alone has a move of its own, from waiting to active. So an invariant of a place is kept
here and nowhere else.
"""

from __future__ import annotations

from typing import assert_never

from jobyard.job import JobState, Reason
from jobyard.memory.card import Card
from jobyard.memory.gates import Gate, Places, Slots
from jobyard.memory.line import Line
from jobyard.memory.queue import YardQueue, claim_rank
from jobyard.memory.states import ACTIVE, BLOCKED, CANCELLED, COMPLETED, DELAYED, WAITING
from jobyard.memory.step import Step
from jobyard.memory.tally import Minute
from jobyard.memory.yard import Yard

__all__ = [
    "admit",
    "attach",
    "block",
    "delay",
    "enrol",
    "enter",
    "fail",
    "finish",
    "forget",
    "leave",
    "leave_run",
    "resize",
    "revive",
    "stand_before",
    "start",
]


def leave(step: Step, card: Card) -> None:
    """Take a job out of the place that it is in; the caller puts it into another at once."""
    queue = step.yard.queues[card.queue]
    queue.counts[card.state] -= 1
    card.ticket = 0
    match card.state:
        case JobState.WAITING:
            queue.step_out(card)
            step.lessen(card)
        case JobState.DELAYED:
            queue.delayed.left()
            if card.due_at <= step.now:
                step.lessen(card)
        case JobState.ACTIVE:
            _let_go(step, queue, card)
        case JobState.BLOCKED:
            step.newcomers.add(card.id)
            del queue.blocked[card.id]
            if (line := _line_before(queue, card)) is not None:
                line.left()
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
    _let_go(step, queue, card)


def _let_go(step: Step, queue: YardQueue, card: Card) -> None:
    step.yard.let_go(card)
    step.lessened.add(card.queue)
    if queue.limiters:
        for limiter in queue.limiters_of(card.name):
            limiter.active -= 1


def admit(step: Step, card: Card, *, due_at: int) -> None:
    """Let a job wait, or hold it back: the one way into waiting, whatever it comes from."""
    if card.is_gated and _hold_back(step, card, due_at=due_at):
        return
    queue = step.yard.queues[card.queue]
    card.state = WAITING
    card.due_at = due_at
    card.ticket = step.yard.ticket()
    queue.counts[WAITING] += 1
    queue.line_up(card)
    step.woken.add(card.queue)


def _hold_back(step: Step, card: Card, *, due_at: int) -> bool:
    """Give a job its place and its slot; put it elsewhere if it has to wait for one."""
    queue = step.yard.queues[card.queue]
    if card.group is not None and not card.placed:
        places = queue.groups[card.group.key]
        if not places.is_free:
            block(step, card, Gate.GROUP, due_at=due_at)
            return True
        places.taken += 1
        card.placed = True
    if card.rate is not None:
        if card.slot_at is None:
            card.slot_at = queue.rates[card.rate.key].take(step.now)
        if card.slot_at is None:
            block(step, card, Gate.RATE, due_at=due_at)
            return True
        if card.slot_at > step.horizon:
            delay(step, card, due_at=max(card.slot_at, due_at))
            return True
    return False


def block(step: Step, card: Card, gate: Gate, *, due_at: int) -> None:
    """Let a job wait until a gate opens."""
    queue = step.yard.queues[card.queue]
    card.state = BLOCKED
    card.gate = gate
    card.due_at = due_at
    card.ticket = step.yard.ticket()
    queue.counts[BLOCKED] += 1
    stand_before(queue, card)


def stand_before(queue: YardQueue, card: Card) -> None:
    """Let a blocked job, which has just got a new ticket, stand before its gate."""
    queue.blocked[card.id] = card
    if (line := _line_before(queue, card)) is not None:
        line.join(claim_rank(card), card)


def _line_before(queue: YardQueue, card: Card) -> Line[Card] | None:
    """Tell the line that a blocked job stands in; who waits for parents stands in none."""
    match Gate(card.gate):
        case Gate.PARENTS:
            return None
        case Gate.GROUP:
            assert card.group is not None
            return queue.groups[card.group.key].blocked
        case Gate.RATE:
            assert card.rate is not None
            return queue.rates[card.rate.key].blocked


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
    enrol(step, card)
    attach(step.yard, card)
    admit(step, card, due_at=step.now)
    step.yard.watch(card)


def fail(step: Step, card: Card, *, reason: Reason) -> None:
    """End a job, which has left its place, as failed, or dead if it asked to be kept so."""
    card.reason = reason
    finish(step, card, JobState.DEAD if card.dead_letter else JobState.FAILED)


def finish(step: Step, card: Card, state: JobState) -> None:
    """End a job, which has left its place, and apply its keep rule (SETTLE-11).

    A rule that keeps none is about the job alone; one that keeps some takes older jobs along. What
    an unfinished job depends on is kept whatever the rule (DEP-4).
    """
    yard = step.yard
    queue = yard.queues[card.queue]
    card.state = state
    card.finished_at = step.now
    card.ticket = yard.ticket()
    yard.unwatch(card)
    _count_end(queue.tally.minute(step.now), state)
    if card.enrolled:
        _strike(step, card)
    if yard.children:
        _tell_children(step, card)
    keep = card.keep
    if keep is not None and keep.count == 0 and card.id not in yard.children:
        forget(step, card)
        return
    queue.counts[state] += 1
    queue.shelves[state].put(card)
    if keep is not None and keep.count:
        _prune(step, queue, state, keep.count)


def _prune(step: Step, queue: YardQueue, state: JobState, count: int) -> None:
    beyond = min(queue.counts[state] - count, step.prunable)
    if beyond <= 0:
        return
    needed = step.yard.children
    oldest = [card for card in queue.shelves[state].walk() if card.id not in needed][:beyond]
    step.prunable -= len(oldest)
    for card in oldest:
        leave(step, card)
        forget(step, card)


def forget(step: Step, card: Card) -> None:
    """Remove a job, which has left its place, without a trace but the totals."""
    del step.yard.cards[card.id]
    step.yard.lines.pop(card.id, None)
    step.yard.unwatch(card)
    if card.enrolled:
        _strike(step, card)
    if step.yard.children and not (card.state.is_finished and card.state is not JobState.STALLED):
        _tell_children(step, card)


def attach(yard: Yard, card: Card) -> None:
    """Let the parents that are there know of an unfinished job, so that their records stay."""
    for each in card.depends_on:
        if each.parent in yard.cards:
            yard.children.setdefault(each.parent, {})[card.id] = card


def _tell_children(step: Step, card: Card) -> None:
    """Note that a job ends or goes, for its children and its parents."""
    children = step.yard.children
    card.waits_for = frozenset()
    for parent in card.depends_on:
        if (siblings := children.get(parent.parent)) is not None:
            siblings.pop(card.id, None)
            if not siblings:
                del children[parent.parent]
    if card.id in children:
        step.ended.append(card)


# -- groups and rates -------------------------------------------------------------------------


def enrol(step: Step, card: Card) -> None:
    """Let the group and the rate of an unfinished job know of it."""
    if not card.is_gated or card.enrolled:
        return
    queue = step.yard.queues[card.queue]
    card.enrolled = True
    if (group := card.group) is not None:
        queue.groups.setdefault(group.key, Places(group.limit)).members += 1
    if (rate := card.rate) is not None:
        queue.rates.setdefault(rate.key, Slots(rate.count, rate.per_ms)).members += 1


def resize(step: Step, card: Card) -> None:
    """Let the limits of a job that was just added hold for its group and its rate."""
    queue = step.yard.queues[card.queue]
    if (group := card.group) is not None:
        queue.groups[group.key].limit = group.limit
        _fill(step, queue.groups[group.key])
    if (rate := card.rate) is not None:
        slots = queue.rates[rate.key]
        if (slots.count, slots.per_ms) != (rate.count, rate.per_ms):
            slots.resize(rate.count, rate.per_ms)
            _serve(step, slots)


def start(step: Step, card: Card) -> None:
    """Note that a job of a rate has been claimed: its slot is free again a period later."""
    assert card.rate is not None
    slots = step.yard.queues[card.queue].rates[card.rate.key]
    card.slot_at = None
    slots.give(step.now + slots.per_ms)
    _serve(step, slots)


def _strike(step: Step, card: Card) -> None:
    """Let go of the place and the slot of a job that has ended, and let the next have them."""
    queue = step.yard.queues[card.queue]
    card.enrolled = False
    if (group := card.group) is not None:
        places = queue.groups[group.key]
        places.members -= 1
        if card.placed:
            card.placed = False
            places.taken -= 1
            _fill(step, places)
        if not places.members:
            del queue.groups[group.key]
            step.tell_group(card.queue, group.key)
    if (rate := card.rate) is not None:
        slots = queue.rates[rate.key]
        slots.members -= 1
        if card.slot_at is not None:
            slots.give(card.slot_at)
            card.slot_at = None
            _serve(step, slots)
        if slots.is_spent(step.now):
            del queue.rates[rate.key]


def _fill(step: Step, places: Places) -> None:
    """Let blocked jobs of a group have what places are free; they are due now (GROUP-3)."""
    while places.is_free and (head := places.blocked.head()) is not None:
        leave(step, head[1])
        admit(step, head[1], due_at=step.now)


def _serve(step: Step, slots: Slots) -> None:
    """Let blocked jobs of a rate have what slots may be taken."""
    while (head := slots.blocked.head()) is not None:
        at = slots.take(step.now)
        if at is None:
            return
        card = head[1]
        leave(step, card)
        card.slot_at = at
        enter(step, card, due_at=max(at, card.due_at))


def _count_end(minute: Minute, state: JobState) -> None:
    if state is COMPLETED:
        minute.completed += 1
    elif state is CANCELLED:
        minute.cancelled += 1
    else:
        minute.failed += 1
