"""Limits and holds: how much a queue, or a name in it, may give now, and when again.

They are looked at when a claim is made, and only in a queue that has any: the end of a run has
nothing to do for them, since what is active is counted where it stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from jobyard.lease import MAX_BATCH, Lease
from jobyard.limit import HoldBack, Limit
from jobyard_sql.codes import ACTIVE, WHOLE_QUEUE
from jobyard_sqlite.lanes import LimiterRow, QueueRow
from jobyard_sqlite.transaction import Transaction

__all__ = ["Room", "Rooms", "count_starts", "hold_back", "limit", "opens_at", "within_rooms"]


class Room:
    """How many jobs one claim may still take of a source, a queue or a name."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


class Rooms:
    """The rooms of one claim, shared by all that is bounded by the same limiter."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._found: dict[tuple[int, str], Room] = {}
        self._active: dict[int, dict[str, int]] = {}

    def of(self, queue: QueueRow, name: str) -> tuple[Room, ...]:
        """Return the rooms of the jobs of a name, or of those whose name has no limit."""
        limiters = self._tx.limiters(queue)
        keys = (WHOLE_QUEUE,) if name == WHOLE_QUEUE else (WHOLE_QUEUE, name)
        return tuple([self._room(queue, limiters[key]) for key in keys if key in limiters])

    def _room(self, queue: QueueRow, limiter: LimiterRow) -> Room:
        key = (queue.id, limiter.name)
        room = self._found.get(key)
        if room is None:
            room = self._found[key] = Room(max(self._left(queue, limiter), 0))
        return room

    def _left(self, queue: QueueRow, limiter: LimiterRow) -> int:
        tx = self._tx
        if limiter.held_until > tx.now:
            return 0
        left = MAX_BATCH
        if limiter.concurrency is not None:
            left = min(left, limiter.concurrency - self._active_of(queue, limiter.name))
        if limiter.starts is not None:
            left = min(left, limiter.starts - _started(tx, limiter))
        return left

    def _active_of(self, queue: QueueRow, name: str) -> int:
        tx = self._tx
        if name == WHOLE_QUEUE:
            _, active = tx.row(tx.moves.busy, (queue.id,))
            return int(active) + tx.delta(queue.id, queue.name).gauges[ACTIVE]
        active_of = self._active.get(queue.id)
        if active_of is None:
            active_of = dict(tx.rows(tx.limiting.active, (queue.id,)))
            self._active[queue.id] = active_of
        return active_of.get(name, 0)


def within_rooms(
    rows: Sequence[Any], rooms_of: Sequence[tuple[Room, ...]], strand: int, limit: int
) -> list[Any]:
    """Choose the first rows that all their rooms let through; the rooms stay as they are.

    `rooms_of` has those of each range, whose number stands in the rows at `strand`.
    """
    left = {id(room): room.left for rooms in rooms_of for room in rooms}
    chosen: list[Any] = []
    for row in rows:
        rooms = rooms_of[row[strand]]
        if len(chosen) < limit and all(left[id(room)] > 0 for room in rooms):
            for room in rooms:
                left[id(room)] -= 1
            chosen.append(row)
    return chosen


def _started(tx: Transaction, limiter: LimiterRow) -> int:
    """Count the starts of the latest period, and forget those before."""
    key = (limiter.queue, limiter.name)
    tx.run(tx.limiting.forget_starts, (*key, tx.now - (limiter.per_ms or 0)))
    (started,) = tx.row(tx.limiting.started, key)
    return int(started)


def count_starts(tx: Transaction, leases: Sequence[Lease]) -> None:
    """Note what a claim took of limited queues and names."""
    for (queue_name, name), count in _counted(leases):
        queue = tx.queue(queue_name)
        limiter = None if queue is None else tx.limiters(queue).get(name)
        if limiter is not None and limiter.starts is not None:
            tx.run(tx.limiting.put_start, (limiter.queue, name, tx.now, count))


def _counted(leases: Sequence[Lease]) -> Iterator[tuple[tuple[str, str], int]]:
    yield from Counter((lease.queue, WHOLE_QUEUE) for lease in leases).items()
    yield from Counter((lease.queue, lease.name) for lease in leases).items()


def opens_at(tx: Transaction, queue: QueueRow, name: str) -> int:
    """Tell from when neither a hold nor a rate keeps a name back: now if they do not."""
    limiters = tx.limiters(queue)
    found = (limiters[key] for key in (WHOLE_QUEUE, name) if key in limiters)
    return max((_opens_at(tx, each) for each in found), default=tx.now)


def _opens_at(tx: Transaction, limiter: LimiterRow) -> int:
    at = max(limiter.held_until, tx.now)
    if limiter.starts is None or limiter.per_ms is None or _started(tx, limiter) < limiter.starts:
        return at
    (first,) = tx.row(tx.limiting.first_start, (limiter.queue, limiter.name))
    return max(at, int(first) + limiter.per_ms)


# -- controls


def limit(tx: Transaction, queue: QueueRow, wish: Limit) -> None:
    """Set the limit of a queue or a name; the same rate goes on counting (LIMIT-2)."""
    before = _limiter(tx, queue, wish.name)
    rate = wish.rate
    starts, per_ms = (None, None) if rate is None else (rate.count, rate.per_ms)
    if (starts, per_ms) != (before.starts, before.per_ms):
        tx.run(tx.limiting.drop_starts, (queue.id, before.name))
    _put(tx, queue, before._replace(concurrency=wish.concurrency, starts=starts, per_ms=per_ms))


def hold_back(tx: Transaction, queue: QueueRow, wish: HoldBack) -> None:
    """Hold a queue or a name, for as long as was said before if that is longer."""
    before = _limiter(tx, queue, wish.name)
    until = max(before.held_until, tx.now + wish.ms) if wish.ms else 0
    _put(tx, queue, before._replace(held_until=until))


def _limiter(tx: Transaction, queue: QueueRow, name: str | None) -> LimiterRow:
    key = WHOLE_QUEUE if name is None else name
    found = tx.limiters(queue).get(key)
    return found or LimiterRow(queue.id, key, None, None, None, 0)


def _put(tx: Transaction, queue: QueueRow, limiter: LimiterRow) -> None:
    """Write a limiter, and forget those of the queue that limit nothing any more."""
    tx.run(tx.limiting.put_limiter, limiter)
    tx.run(tx.limiting.drop_spent, (queue.id, tx.now))
    tx.run(tx.moves.bump_queue, (queue.id,))
    tx.forget_queue(queue.name)
    tx.delta(queue.id, queue.name).woken = True
