"""A snapshot: a whole yard as bytes, for a backend that keeps one in a place of its own."""

from __future__ import annotations

from collections import deque

import msgspec

from jobyard.events import StoredEvent
from jobyard.job import JobState
from jobyard.limit import Rate
from jobyard.memory.card import Card
from jobyard.memory.gates import Places, Slots
from jobyard.memory.limiter import Limiter
from jobyard.memory.moves import attach, stand_before
from jobyard.memory.queue import YardQueue
from jobyard.memory.tally import Tally
from jobyard.memory.yard import Holding, KeyHeld, Presence, Yard
from jobyard.schedule import ScheduleRecord

__all__ = ["dump", "load"]


class RateImage(msgspec.Struct, frozen=True, kw_only=True):
    """A rate: its slots, and from when those that no job holds are free."""

    count: int
    per_ms: int
    free_at: list[int]


class LimiterImage(msgspec.Struct, frozen=True, kw_only=True):
    """A limiter beside the jobs that it counts."""

    name: str | None
    concurrency: int | None
    rate: Rate | None
    held_until: int
    starts: list[tuple[int, int]]


class KeyImage(msgspec.Struct, frozen=True, kw_only=True):
    """A dedup key of a queue, and who holds it."""

    queue: str
    key: str
    held: KeyHeld


class QueueImage(msgspec.Struct, frozen=True, kw_only=True):
    """What a queue is beside its jobs."""

    name: str
    paused: bool
    closing: bool = False
    tally: Tally
    groups: dict[str, int] = {}
    rates: dict[str, RateImage] = {}
    limiters: tuple[LimiterImage, ...] = ()


class LeaseImage(msgspec.Struct, frozen=True, kw_only=True):
    """A holding, its jobs by id."""

    lease_id: str
    fence: int
    worker: str
    job_ids: tuple[str, ...]


class YardImage(msgspec.Struct, frozen=True, kw_only=True):
    """What a yard is made of; places in line follow from the cards."""

    prepared: bool
    cards: tuple[Card, ...]
    lines: dict[str, list[str]]
    queues: tuple[QueueImage, ...]
    holdings: tuple[LeaseImage, ...]
    spent: tuple[str, ...]
    keys: tuple[KeyImage, ...] = ()
    schedules: dict[str, ScheduleRecord]
    workers: dict[str, Presence]
    subscriptions: dict[str, int]
    events: tuple[StoredEvent, ...]
    latest_event: int
    latest_no: int
    latest_fence: int


def dump(yard: Yard) -> bytes:
    """Write a yard down; the cost is that of all its jobs."""
    image = YardImage(
        prepared=yard.prepared,
        cards=tuple(yard.cards.values()),
        lines=yard.lines,
        queues=tuple(
            QueueImage(
                name=queue.name,
                paused=queue.paused,
                closing=queue.closing,
                tally=queue.tally,
                groups={key: places.limit for key, places in queue.groups.items()},
                rates={key: _rate(slots) for key, slots in queue.rates.items()},
                limiters=tuple(map(_limiter, queue.limiters.values())),
            )
            for queue in yard.queues.values()
        ),
        holdings=tuple(
            LeaseImage(
                lease_id=holding.lease_id,
                fence=holding.fence,
                worker=holding.worker,
                job_ids=tuple(holding.cards),
            )
            for holding in yard.holdings.values()
        ),
        spent=tuple(yard.spent),
        keys=tuple(
            KeyImage(queue=queue, key=key, held=held) for (queue, key), held in yard.keys.items()
        ),
        schedules=yard.schedules,
        workers=yard.workers,
        subscriptions=yard.log.subscriptions,
        events=tuple(yard.log.kept),
        latest_event=yard.log.latest,
        latest_no=yard.latest_no,
        latest_fence=yard.latest_fence,
    )
    return msgspec.msgpack.encode(image)


def load(image: bytes) -> Yard:
    """Make the yard again that `dump` wrote down."""
    read = msgspec.msgpack.decode(image, type=YardImage)
    yard = Yard()
    yard.prepared = read.prepared
    yard.lines = read.lines
    yard.schedules = read.schedules
    yard.workers = read.workers
    yard.log.subscriptions = read.subscriptions
    yard.log.kept.extend(read.events)
    yard.log.latest = read.latest_event
    yard.latest_no = read.latest_no
    yard.latest_fence = read.latest_fence
    yard.spent = deque(read.spent)
    yard.spent_ids = set(read.spent)
    for each in read.queues:
        queue = yard.queue(each.name)
        queue.paused = each.paused
        queue.closing = each.closing
        queue.tally = each.tally
        queue.groups = {key: Places(limit) for key, limit in each.groups.items()}
        queue.rates = {key: _slots(rate) for key, rate in each.rates.items()}
    yard.keys = {(each.queue, each.key): each.held for each in read.keys}
    for card in read.cards:
        yard.cards[card.id] = card
        _stand(yard, yard.queue_of(card), card)
    for card in read.cards:
        if not card.state.is_finished:
            attach(yard, card)
    for lease in read.holdings:
        _hold(yard, lease)
    for each in read.queues:
        for limiter in each.limiters:
            _limit(yard, yard.queue(each.name), limiter)
    return yard


def _stand(yard: Yard, queue: YardQueue, card: Card) -> None:
    """Put a card into the place that goes with its state; a lease's jobs come with the lease."""
    card.ticket = yard.ticket()
    queue.counts[card.state] += 1
    if card.state.is_finished:
        queue.shelves[card.state].put(card)
        return
    yard.watch(card)
    _enrol(queue, card)
    if card.state is JobState.WAITING:
        queue.line_up(card)
    elif card.state is JobState.DELAYED:
        queue.delayed.join((card.due_at, card.no), card)
    elif card.state is JobState.BLOCKED:
        stand_before(queue, card)


def _enrol(queue: YardQueue, card: Card) -> None:
    """Let the group and the rate of an unfinished job know of it, its place and its slot."""
    if card.group is not None:
        places = queue.groups[card.group.key]
        places.members += 1
        places.taken += card.placed
    if card.rate is not None:
        slots = queue.rates[card.rate.key]
        slots.members += 1
        slots.held += card.slot_at is not None


def _rate(slots: Slots) -> RateImage:
    return RateImage(count=slots.count, per_ms=slots.per_ms, free_at=sorted(slots.free_at))


def _slots(rate: RateImage) -> Slots:
    slots = Slots(rate.count, rate.per_ms)
    slots.free_at = rate.free_at
    return slots


def _limiter(limiter: Limiter) -> LimiterImage:
    return LimiterImage(
        name=limiter.name,
        concurrency=limiter.concurrency,
        rate=limiter.rate,
        held_until=limiter.held_until,
        starts=list(limiter.starts),
    )


def _limit(yard: Yard, queue: YardQueue, image: LimiterImage) -> None:
    """Limit a queue as before; the jobs that are active are counted anew."""
    limiter = yard.limiter(queue, image.name)
    limiter.concurrency = image.concurrency
    limiter.rate = image.rate
    limiter.held_until = image.held_until
    limiter.starts.extend(image.starts)
    limiter.started = sum(count for _at, count in image.starts)


def _hold(yard: Yard, lease: LeaseImage) -> None:
    cards = {job_id: yard.cards[job_id] for job_id in lease.job_ids}
    yard.hold(
        Holding(
            lease_id=lease.lease_id,
            fence=lease.fence,
            worker=lease.worker,
            until=min(card.lease_until for card in cards.values()),
            cards=cards,
        )
    )
