"""Removing many jobs, in bounded steps."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Final, assert_never

from jobyard.edits import Clean, Drain, Obliterate, Retention, Sweep, Swept
from jobyard.errors import QueueNotEmpty
from jobyard.events import EventKind
from jobyard.job import FINISHED, JobState
from jobyard_sql.codes import (
    CANCELLED,
    COMPLETED,
    DEAD,
    DROP,
    FAILED,
    KEEP_COMPLETED,
    KEEP_FAILED,
    STATE_CODES,
    Tally,
)
from jobyard_sqlite.ending import erase, forget
from jobyard_sqlite.lanes import QueueRow
from jobyard_sqlite.passing import drop_if_spent, fresh
from jobyard_sqlite.transaction import Transaction
from jobyard_sqlite.transitions import leave, standing

BY_AGE: Final = (COMPLETED, FAILED, CANCELLED, DEAD)
"""The states that retention bounds: a stalled job waits for a person."""

Victims = Iterator[int]
"""Numbers of jobs to remove, the first first; read only as far as needed."""


def sweep(tx: Transaction, wish: Sweep, limit: int) -> Swept:
    """Remove jobs in one bounded step."""
    limit = max(limit, 0)
    match wish:
        case Drain():
            return _remove(tx, lambda most: _drainable(tx, wish, most), limit)
        case Clean():
            return _remove(tx, lambda most: _cleanable(tx, wish, most), limit)
        case Obliterate():
            return _obliterate(tx, wish, limit)
        case Retention():
            return _retain(tx, wish, limit)
        case _:
            assert_never(wish)


def _remove(
    tx: Transaction,
    victims: Callable[[int], Victims],
    limit: int,
    kind: EventKind = EventKind.REMOVED,
) -> Swept:
    """Remove the first victims, at most `limit`, and tell whether there is another."""
    found = list(islice(victims(limit + 1), limit + 1))
    more = len(found) > limit
    numbers = found[:limit]
    if numbers:
        jobs, flags = standing(tx, numbers), 0
        for number in numbers:
            job = fresh(tx, jobs[number])
            assert job is not None
            flags |= job.flags
            leave(tx, job)
            forget(tx, job)
            if kind is EventKind.REMOVED:
                tx.of(job).tally(Tally.REMOVED)
            tx.tell(kind, job, of_run=False)
        erase(tx, numbers, flags)
    return Swept(len(numbers), more)


def _numbers(
    tx: Transaction, sql: str, parameters: Sequence[object] | dict[str, object]
) -> Victims:
    return iter([row[0] for row in tx.rows(sql, parameters)])


def _drainable(tx: Transaction, wish: Drain, most: int) -> Victims:
    queue = tx.queue(wish.queue)
    if queue is None:
        return
    some: dict[str, object] = {"queue": queue.id, "most": most}
    yield from _numbers(tx, tx.moves.some_of["waiting"], some)
    yield from _numbers(tx, tx.gating.some_blocked, some)
    if wish.delayed:
        yield from _numbers(tx, tx.moves.some_of["delayed"], some)


def _queues(tx: Transaction, name: str | None = None) -> list[QueueRow]:
    names = [name] if name else [row[1] for row in tx.rows(tx.looking.queue_ids)]
    return [queue for queue in map(tx.queue, names) if queue is not None]


def _cleanable(tx: Transaction, wish: Clean, most: int) -> Victims:
    before = tx.now - wish.older_than_ms
    for queue in _queues(tx, wish.queue):
        for state in sorted(wish.states & FINISHED):
            code = STATE_CODES[JobState(state)]
            yield from _numbers(tx, tx.moves.aged, (queue.id, code, before, most))


def _obliterate(tx: Transaction, wish: Obliterate, limit: int) -> Swept:
    queue = tx.queue(wish.queue)
    if queue is None:
        return Swept(0, more=False)
    if not (wish.force or queue.closing) and tx.rows(
        tx.moves.some_of["active"], {"queue": queue.id, "most": 1}
    ):
        raise QueueNotEmpty(f"jobs of {wish.queue!r} are active; wait for them, or use force")
    swept = _remove(tx, lambda most: _everything(tx, queue, most), limit)
    if swept.more:
        tx.run(tx.moves.close_queue, (queue.id,))
    else:
        tx.delta(queue.id, queue.name).gone = True
        for part in (tx.limiting, tx.gating, tx.moves):
            for statement in part.forget_queue:
                tx.run(statement, (queue.id,))
        tx.forget_queue(queue.name)
    return swept


def _everything(tx: Transaction, queue: QueueRow, most: int) -> Victims:
    return chain.from_iterable(
        _numbers(tx, statement, {"queue": queue.id, "most": most})
        for statement in (*tx.moves.some_of.values(), tx.gating.some_blocked)
    )


# -- retention


def _retain(tx: Transaction, wish: Retention, limit: int) -> Swept:
    """Remove what is past its own rule or the general age, then what is too much."""
    deleted = EventKind.DELETED
    _drop_what_is_free(tx, limit)
    aged = _remove(tx, lambda most: _outdated(tx, wish, most), limit, deleted)
    if aged.more:
        return aged
    rest = limit - aged.removed
    beyond = _remove(tx, lambda most: _beyond_count(tx, wish, most), rest, deleted)
    return Swept(aged.removed + beyond.removed, beyond.more)


def _drop_what_is_free(tx: Transaction, limit: int) -> None:
    """Forget keys that are held no longer, and slots and rates of which nothing is left to know."""
    tx.run_many(tx.gating.drop_key, tx.rows(tx.gating.outdated_keys, (tx.now, limit)))
    rates = {gate for gate, _, _ in tx.rows(tx.gating.rested, (tx.now, limit))}
    tx.gates.load(rates)
    for number in rates:
        slots = tx.gates[number]
        tx.gates.wake_slots(slots, tx.now)
        drop_if_spent(tx, slots)


def _outdated(tx: Transaction, wish: Retention, most: int) -> Victims:
    """Name each job once that is past the general age, or its own age or count."""
    seen: set[int] = set()
    for number in chain(
        _past_general_age(tx, wish, most),
        _numbers(tx, tx.moves.purgeable, (tx.now, most)),
        _beyond_own_count(tx, most),
    ):
        if number not in seen:
            seen.add(number)
            yield number


def _past_general_age(tx: Transaction, wish: Retention, most: int) -> Victims:
    for queue in _queues(tx):
        for state in BY_AGE:
            completed = state == COMPLETED
            age = wish.completed_ms if completed else wish.others_ms
            rule = DROP | KEEP_COMPLETED if completed else KEEP_FAILED
            parameters = (queue.id, state, tx.now - age, rule, most)
            yield from _numbers(tx, tx.moves.aged_without_rule, parameters)


def _beyond_own_count(tx: Transaction, most: int) -> Victims:
    for queue_id, state, count in tx.rows(tx.moves.counts_kept):
        first_gone = tx.row(tx.moves.newest_kept, (queue_id, state, count))
        if first_gone is not None:
            parameters = (queue_id, state, count, *first_gone, most)
            yield from _numbers(tx, tx.moves.older_kept, parameters)


def _beyond_count(tx: Transaction, wish: Retention, most: int) -> Victims:
    """Name the oldest finished jobs of each queue that has too many."""
    for queue in _queues(tx):
        delta = tx.delta(queue.id, queue.name)
        completed, others = tx.row(tx.moves.finished, (queue.id,))
        gathered = sum(delta.gauges[state] for state in BY_AGE)
        beyond = completed + others + gathered - wish.count
        if beyond > 0:
            shelves = [
                [
                    (finished_at, number)
                    for number, finished_at in tx.rows(
                        tx.moves.oldest, (queue.id, state, min(beyond, most))
                    )
                ]
                for state in BY_AGE
            ]
            for _, number in islice(heapq.merge(*shelves), beyond):
                yield number
