"""Sweeping: removing many jobs, in bounded steps."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import assert_never

from jobyard.edits import Clean, Drain, Obliterate, Retention, Sweep, Swept
from jobyard.errors import QueueNotEmpty
from jobyard.events import EventKind
from jobyard.job import FINISHED, JobState
from jobyard.memory.card import Card
from jobyard.memory.keys import drop_free_keys
from jobyard.memory.moves import forget, leave
from jobyard.memory.queue import Shelf, YardQueue
from jobyard.memory.step import Step

__all__ = ["sweep"]

KEPT_BY_AGE = FINISHED - {JobState.STALLED}
"""The states that retention bounds: a stalled job waits for a person."""


def sweep(step: Step, wish: Sweep, *, limit: int) -> Swept:
    """Remove jobs in one bounded step."""
    match wish:
        case Drain():
            return _remove(step, lambda: _drainable(step, wish), limit=limit)
        case Clean():
            return _remove(step, lambda: _cleanable(step, wish), limit=limit)
        case Obliterate():
            return _obliterate(step, wish, limit=limit)
        case Retention():
            return _retain(step, wish, limit=limit)
        case _:
            assert_never(wish)


def _remove(
    step: Step,
    victims: Callable[[], Iterator[Card]],
    *,
    limit: int,
    kind: EventKind = EventKind.REMOVED,
) -> Swept:
    """Remove the first `limit` victims, then look whether there is another."""
    found = list(islice(victims(), max(limit, 0)))
    for card in found:
        step.tell_job(kind, card)
        if kind is EventKind.REMOVED:
            step.yard.queue_of(card).tally.minute(step.now).removed += 1
        leave(step, card)
        forget(step, card)
    return Swept(len(found), next(victims(), None) is not None)


# -- whose turn it is -------------------------------------------------------------------------


def _drainable(step: Step, wish: Drain) -> Iterator[Card]:
    queue = step.yard.queues.get(wish.queue)
    if queue is None:
        return
    yield from queue.waiting()
    yield from tuple(queue.blocked.values())
    if wish.delayed:
        yield from queue.delayed.items()


def _cleanable(step: Step, wish: Clean) -> Iterator[Card]:
    before = step.now - wish.older_than_ms
    names = step.yard.queues if wish.queue is None else (wish.queue,)
    for name in sorted(names):
        queue = step.yard.queues.get(name)
        if queue is None:
            continue
        for state in sorted(wish.states & FINISHED):
            yield from _older(queue.shelves[state].walk(), before=before)


def _older(cards: Iterable[Card], *, before: int) -> Iterator[Card]:
    """Show the first of some cards, oldest first, that finished before an instant."""
    for card in cards:
        if card.finished_at is None or card.finished_at >= before:
            return
        yield card


# -- obliterating -----------------------------------------------------------------------------


def _obliterate(step: Step, wish: Obliterate, *, limit: int) -> Swept:
    yard = step.yard
    queue = yard.queues.get(wish.queue)
    if queue is None:
        return Swept(0, more=False)
    active = queue.counts[JobState.ACTIVE]
    if active and not (wish.force or queue.closing):
        raise QueueNotEmpty(f"{active} jobs of {queue.name!r} are active")
    queue.closing = True
    swept = _remove(step, lambda: _everything(step, queue), limit=limit)
    if not swept.more:
        del yard.queues[queue.name]
        yard.keys = {key: held for key, held in yard.keys.items() if key[0] != queue.name}
    return swept


def _everything(step: Step, queue: YardQueue) -> Iterator[Card]:
    held = chain.from_iterable(each.cards.values() for each in step.yard.holdings.values())
    return chain(
        queue.waiting(),
        queue.delayed.items(),
        tuple(queue.blocked.values()),
        (card for card in held if card.queue == queue.name),
        chain.from_iterable(shelf.walk() for shelf in queue.shelves.values()),
    )


# -- retention --------------------------------------------------------------------------------


def _retain(step: Step, wish: Retention, *, limit: int) -> Swept:
    """Remove what is past its own rule or the general age, then what is too much."""
    deleted = EventKind.DELETED
    drop_free_keys(step.yard, step.now)
    for queue in step.yard.queues.values():
        queue.drop_spent_rates(step.now)
    aged = _remove(step, lambda: _outdated(step, wish), limit=limit, kind=deleted)
    if aged.more:
        return aged
    rest = limit - aged.removed
    beyond = _remove(step, lambda: _beyond_count(step, wish), limit=rest, kind=deleted)
    return Swept(aged.removed + beyond.removed, beyond.more)


def _outdated(step: Step, wish: Retention) -> Iterator[Card]:
    for _name, queue in sorted(step.yard.queues.items()):
        for state in sorted(KEPT_BY_AGE):
            shelf = queue.shelves[state]
            age = wish.completed_ms if state is JobState.COMPLETED else wish.others_ms
            plain = (card for _rank, card in shelf.plain.walk())
            yield from _unneeded(step, _older(plain, before=step.now - age))
            if shelf.ruled.live:
                yield from _unneeded(step, _past_own_rule(shelf, now=step.now))


def _unneeded(step: Step, cards: Iterable[Card]) -> Iterator[Card]:
    """Leave out what an unfinished job depends on (DEP-4)."""
    return (card for card in cards if card.id not in step.yard.children)


def _past_own_rule(shelf: Shelf, *, now: int) -> Iterator[Card]:
    """Show the jobs whose own rule has them go: too old, or with too many newer ones."""
    newer = shelf.plain.live + shelf.ruled.live
    for card in shelf.walk():
        newer -= 1
        keep = card.keep
        if keep is None or card.finished_at is None:
            continue
        too_old = keep.age_ms is not None and now - card.finished_at > keep.age_ms
        if too_old or (keep.count is not None and newer >= keep.count):
            yield card


def _beyond_count(step: Step, wish: Retention) -> Iterator[Card]:
    for _name, queue in sorted(step.yard.queues.items()):
        shelves = [queue.shelves[state] for state in KEPT_BY_AGE]
        beyond = sum(queue.counts[state] for state in KEPT_BY_AGE) - wish.count
        if beyond > 0:
            oldest = heapq.merge(
                *(shelf.walk() for shelf in shelves),
                key=lambda card: (card.finished_at or 0, card.no),
            )
            yield from islice(_unneeded(step, oldest), beyond)
