"""A snapshot: a whole yard as bytes, for a backend that keeps one in a place of its own."""

from __future__ import annotations

from collections import deque

import msgspec

from jobyard.events import StoredEvent
from jobyard.job import JobState
from jobyard.memory.card import Card
from jobyard.memory.queue import YardQueue
from jobyard.memory.tally import Tally
from jobyard.memory.yard import Holding, Presence, Yard
from jobyard.schedule import ScheduleRecord

__all__ = ["dump", "load"]


class QueueImage(msgspec.Struct, frozen=True, kw_only=True):
    """What a queue is beside its jobs."""

    name: str
    paused: bool
    closing: bool = False
    tally: Tally


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
                name=queue.name, paused=queue.paused, closing=queue.closing, tally=queue.tally
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
    for card in read.cards:
        yard.cards[card.id] = card
        _stand(yard, yard.queue_of(card), card)
    for lease in read.holdings:
        _hold(yard, lease)
    return yard


def _stand(yard: Yard, queue: YardQueue, card: Card) -> None:
    """Put a card into the place that goes with its state; a lease's jobs come with the lease."""
    card.ticket = yard.ticket()
    queue.counts[card.state] += 1
    if card.state.is_finished:
        queue.shelves[card.state].put(card)
        return
    yard.watch(card)
    if card.state is JobState.WAITING:
        queue.line_up(card)
    elif card.state is JobState.DELAYED:
        queue.delayed.join((card.due_at, card.no), card)


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
