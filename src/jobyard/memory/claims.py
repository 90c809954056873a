"""Claims: promoting what is due, choosing in claim order, leasing."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator

from jobyard.events import EventKind
from jobyard.lease import MAX_BATCH, MAX_PROMOTED, Claim, Claimed, Lease, Source
from jobyard.memory.card import Card
from jobyard.memory.line import Rank
from jobyard.memory.moves import admit, leave, start
from jobyard.memory.queue import Lane, YardQueue, claim_rank
from jobyard.memory.room import Room, Rooms, is_left, take_of
from jobyard.memory.states import ACTIVE, WAITING
from jobyard.memory.step import Step
from jobyard.memory.yard import Holding

__all__ = ["claim", "peek"]


def claim(step: Step, want: Claim) -> Claimed:
    """Lease due jobs to a worker."""
    queues = _open_queues(step, want)
    leases = _give(step, want, queues) if want.limit and want.sources else ()
    dues = [due for queue in queues if (due := queue.next_due()) is not None]
    dues += _openings(step, want)
    return Claimed(leases=leases, now=step.now, next_due=min(dues, default=None))


def _give(step: Step, want: Claim, queues: list[YardQueue]) -> tuple[Lease, ...]:
    if _is_repeat(step, want):
        return tuple(_lease(card) for card in _still_held(step, want))
    step.horizon = _instant(step, want)
    for queue in queues:
        _promote(step, queue, until=step.horizon)
    return _lease_out(step, want, _choose(step, want))


def peek(step: Step, want: Claim) -> list[Card]:
    """Show what the same claim would give, changing nothing."""
    if not want.limit or not want.sources:
        return []
    if _is_repeat(step, want):
        return _still_held(step, want)
    rooms = Rooms(step.now, want)
    found: list[Card] = []
    for _rank, index, card in heapq.merge(*_views(step, want)):
        if len(found) >= min(want.limit, MAX_BATCH):
            break
        room, limited = rooms.of(index, step.yard.queue_of(card), card.name)
        bounds = (room, *limited)
        if is_left(bounds) and not card.has_expired(step.now):
            take_of(bounds)
            found.append(card)
    return found


def _is_repeat(step: Step, want: Claim) -> bool:
    """Whether this lease has given jobs before: then it gives no others (CLAIM-8)."""
    return want.lease_id in step.yard.holdings or want.lease_id in step.yard.spent_ids


def _still_held(step: Step, want: Claim) -> list[Card]:
    holding = step.yard.holdings.get(want.lease_id)
    return [] if holding is None else list(holding.cards.values())


def _instant(step: Step, want: Claim) -> int:
    """Tell by when a job must be due; an `as_of` in the past is none (CLAIM-9)."""
    return step.now if want.as_of is None else max(step.now, want.as_of)


def _open_queues(step: Step, want: Claim) -> list[YardQueue]:
    """Tell the queues of the sources, each once, that are known and give jobs."""
    names = dict.fromkeys(source.queue for source in want.sources)
    found = (step.yard.queues.get(name) for name in names)
    return [queue for queue in found if queue is not None and queue.gives]


# -- promoting --------------------------------------------------------------------------------


def _promote(step: Step, queue: YardQueue, *, until: int) -> None:
    for _ in range(MAX_PROMOTED):
        head = queue.delayed.head()
        if head is None or head[1].due_at > until:
            return
        card = head[1]
        leave(step, card)
        admit(step, card, due_at=card.due_at)


# -- choosing ---------------------------------------------------------------------------------


def _choose(step: Step, want: Claim) -> list[Card]:
    """Take the first jobs, in claim order, out of the lanes of all sources.

    A heap holds the first rank of each lane, so that a job costs the logarithm of the lanes, and
    a job that may not be taken costs nothing. A job taken has no ticket: a lane of two sources,
    which a claim should not have, gives it once.
    """
    heads = _heads(step, want)
    heapq.heapify(heads)
    limit = min(want.limit, MAX_BATCH)
    chosen: list[Card] = []
    while heads and len(chosen) < limit:
        _rank, at, room, limited, queue, lane, card = heads[0]
        if room.left > 0 and card.ticket and (not limited or is_left(limited)):
            lane.take()
            card.ticket = 0
            chosen.append(card)
            room.left -= 1
            if limited:
                take_of(limited)
        is_open = room.left > 0 and (not limited or is_left(limited))
        head = queue.first_of(lane, step.now) if is_open else None
        if head is None:
            heapq.heappop(heads)
            queue.drop_if_empty(lane)
        else:
            heapq.heapreplace(heads, (head[0], at, room, limited, queue, lane, head[1]))
    return chosen


_Head = tuple[Rank, int, Room, tuple[Room, ...], YardQueue, Lane, Card]
"""A lane's first rank, a number of its own, the rooms of its source and limits; where, and who."""


def _heads(step: Step, want: Claim) -> list[_Head]:
    found: list[_Head] = []
    rooms = Rooms(step.now, want)
    for index, (queue, source) in _sources(step, want):
        for lane in queue.lanes_of(source):
            room, limited = rooms.of(index, queue, lane.name)
            if not is_left(limited):
                continue
            head = queue.first_of(lane, step.now)
            if head is None:
                queue.drop_if_empty(lane)
            else:
                found.append((head[0], len(found), room, limited, queue, lane, head[1]))
    return found


def _openings(step: Step, want: Claim) -> Iterator[int]:
    """Tell from when what waits and is kept back by a hold or a rate may be given (LIMIT-5)."""
    for _index, (queue, source) in _sources(step, want):
        if not queue.limiters:
            continue
        for lane in queue.lanes_of(source):
            limiters = queue.limiters_of(lane.name)
            at = max((each.opens_at(step.now) for each in limiters), default=step.now)
            if at <= step.now:
                continue
            if queue.first_of(lane, step.now) is not None:
                yield at
            queue.drop_if_empty(lane)


def _sources(step: Step, want: Claim) -> Iterator[tuple[int, tuple[YardQueue, Source]]]:
    for index, source in enumerate(want.sources):
        queue = step.yard.queues.get(source.queue)
        if queue is not None and queue.gives and source.limit > 0:
            yield index, (queue, source)


def _views(step: Step, want: Claim) -> list[Iterator[tuple[Rank, int, Card]]]:
    """Show, for each source, the lines that a claim would take from: the lanes and the due."""
    views: list[Iterator[tuple[Rank, int, Card]]] = []
    for index, (queue, source) in _sources(step, want):
        views.extend(_ranked(index, lane.walk()) for lane in queue.lanes_of(source))
        due = _promotable(queue, until=_instant(step, want))
        mine = ((claim_rank(card), card) for card in due if _matches(source, card))
        views.append(_ranked(index, sorted(mine)))
    return views


def _ranked(index: int, line: Iterable[tuple[Rank, Card]]) -> Iterator[tuple[Rank, int, Card]]:
    return ((rank, index, card) for rank, card in line)


def _promotable(queue: YardQueue, *, until: int) -> Iterator[Card]:
    """Show the jobs that a claim would promote and that no gate would hold back."""
    room = {key: places.limit - places.taken for key, places in queue.groups.items()}
    free = {key: slots.free(until) for key, slots in queue.rates.items()}
    for count, (_rank, card) in enumerate(queue.delayed.walk()):
        if count == MAX_PROMOTED or card.due_at > until:
            return
        if card.group is not None and not card.placed:
            room[card.group.key] -= 1
            if room[card.group.key] < 0:
                continue
        if card.rate is not None and card.slot_at is None:
            free[card.rate.key] -= 1
            if free[card.rate.key] < 0:
                continue
        yield card


def _matches(source: Source, card: Card) -> bool:
    return (source.names is None or card.name in source.names) and (
        source.channels is None or card.channel in source.channels
    )


# -- leasing ----------------------------------------------------------------------------------


def _lease_out(step: Step, want: Claim, chosen: list[Card]) -> tuple[Lease, ...]:
    """Turn the jobs taken out of their lanes active, all under one fence (CLAIM-6)."""
    if not chosen:
        return ()
    yard = step.yard
    yard.latest_fence += 1
    until = step.now + want.ttl_ms
    for card in chosen:
        card.state = ACTIVE
        card.fence = yard.latest_fence
        card.started_at = step.now
        card.worker = want.worker
        card.lease_id = want.lease_id
        card.lease_until = until
        card.settled_lease = None
    if step.logging:
        for card in chosen:
            step.tell_run(EventKind.ACTIVE, card, attempt=card.failures + 1)
    yard.hold(
        Holding(
            lease_id=want.lease_id,
            fence=yard.latest_fence,
            worker=want.worker,
            until=until,
            cards={card.id: card for card in chosen},
        )
    )
    for card in chosen:
        if card.rate is not None:
            start(step, card)
    _count_starts(step, chosen)
    return tuple(_lease(card) for card in chosen)


def _count_starts(step: Step, chosen: list[Card]) -> None:
    for name, started in Counter(card.queue for card in chosen).items():
        queue = step.yard.queues[name]
        queue.counts[WAITING] -= started
        queue.counts[ACTIVE] += started
        if queue.limiters:
            _count_limited(queue, chosen, step.now)
        minute = queue.tally.minute(step.now)
        minute.started += started
        minute.peak = max(minute.peak, queue.counts[ACTIVE])


def _count_limited(queue: YardQueue, chosen: list[Card], now: int) -> None:
    names = Counter(card.name for card in chosen if card.queue == queue.name)
    for key, limiter in queue.limiters.items():
        count = names.total() if key is None else names[key]
        if count:
            limiter.start(count, now)


def _lease(card: Card) -> Lease:
    assert card.lease_id is not None
    return Lease(
        card.id,
        card.lease_id,
        card.fence,
        card.no,
        card.flags,
        card.queue,
        card.name,
        card.channel,
        card.payload,
        card.options,
        card.priority,
        card.attempts,
        card.max_crashes,
        card.failures,
        card.crashes,
        card.created_at,
        card.due_at,
        card.lease_until,
        card.expires_at,
        None if card.group is None else card.group.key,
    )
