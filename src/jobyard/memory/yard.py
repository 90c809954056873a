"""The yard: the whole state of one namespace."""

from __future__ import annotations

from collections import deque
from itertools import chain

import msgspec

from jobyard.job import JobState
from jobyard.memory.card import Card
from jobyard.memory.limiter import Limiter
from jobyard.memory.line import Line
from jobyard.memory.log import EventLog
from jobyard.memory.queue import YardQueue
from jobyard.presence import WorkerInfo
from jobyard.schedule import ScheduleRecord

__all__ = ["Expiry", "Holding", "KeyHeld", "Presence", "Yard"]

SPENT_KEPT = 10_000
"""How many leases that hold nothing any more are remembered, the latest (CLAIM-8)."""


class Holding(msgspec.Struct, eq=False, kw_only=True):
    """The jobs that one claim gave and that are still held, in the order of the claim.

    `until` is not after the earliest end of their leases. The time is each job's own, since one
    may be extended without the others (EXTEND-4).
    """

    lease_id: str
    fence: int
    worker: str
    until: int
    cards: dict[str, Card]
    ticket: int = 0


class Expiry(msgspec.Struct, eq=False):
    """The end of an unfinished job's time to live, standing in line for the reaper."""

    card: Card
    ticket: int = 0


class KeyHeld(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a dedup key: the job of this number, or whatever becomes of it until an instant."""

    job_id: str
    no: int
    until: int | None


class Presence(msgspec.Struct, eq=False):
    """A worker's latest word, and until when it counts."""

    info: WorkerInfo
    until: int


class Yard:
    """The state that the transitions work on; the modules beside this one are the transitions.

    Every job is on its card in `cards`, and what its runs logged in `lines`. Its place goes with
    its state: in a lane of its queue while waiting, in the queue's `delayed` line, in its `blocked`
    while a gate holds it back, in the holding of its lease while active, on a shelf when finished.
    `keys` tells who holds the dedup keys of each queue, `children` the unfinished jobs that depend
    on a job. Numbers, fences and tickets are never used twice.
    """

    def __init__(self) -> None:
        self.prepared = False
        self.cards: dict[str, Card] = {}
        self.lines: dict[str, list[str]] = {}
        self.queues: dict[str, YardQueue] = {}
        self.holdings: dict[str, Holding] = {}
        self.leases: Line[Holding] = Line()
        self.spent: deque[str] = deque()
        self.spent_ids: set[str] = set()
        self.expiries: dict[str, Expiry] = {}
        self.expiring: Line[Expiry] = Line()
        self.keys: dict[tuple[str, str], KeyHeld] = {}
        self.children: dict[str, dict[str, Card]] = {}
        self.schedules: dict[str, ScheduleRecord] = {}
        self.workers: dict[str, Presence] = {}
        self.log = EventLog()
        self.latest_no = 0
        self.latest_fence = 0
        self.latest_ticket = 0

    def ticket(self) -> int:
        """Give a ticket that nobody had."""
        self.latest_ticket += 1
        return self.latest_ticket

    def queue(self, name: str) -> YardQueue:
        """Give a queue, making it known if it is not."""
        found = self.queues.get(name)
        if found is None:
            found = self.queues[name] = YardQueue(name)
        return found

    def queue_of(self, card: Card) -> YardQueue:
        """Give the queue that a job is in."""
        return self.queues[card.queue]

    def limiter(self, queue: YardQueue, name: str | None) -> Limiter:
        """Give what limits a queue, or a name in it; a new one limits nothing."""
        found = queue.limiters.get(name)
        if found is None:
            found = queue.limiters[name] = Limiter(name, active=self._active(queue, name))
        return found

    def _active(self, queue: YardQueue, name: str | None) -> int:
        if name is None:
            return queue.counts[JobState.ACTIVE]
        held = chain.from_iterable(each.cards.values() for each in self.holdings.values())
        return sum(card.queue == queue.name and card.name == name for card in held)

    # -- leases -------------------------------------------------------------------------------

    def hold(self, holding: Holding) -> None:
        """Let a claim's jobs be held."""
        holding.ticket = self.ticket()
        self.holdings[holding.lease_id] = holding
        self.leases.join((holding.until,), holding)

    def let_go(self, card: Card) -> None:
        """Take a job out of the holding of its lease, and forget a holding left empty."""
        assert card.lease_id is not None
        holding = self.holdings[card.lease_id]
        del holding.cards[card.id]
        card.lease_id = None
        if not holding.cards:
            del self.holdings[holding.lease_id]
            holding.ticket = 0
            self.leases.left()
            self.spend(holding.lease_id)

    def spend(self, lease_id: str) -> None:
        """Remember a lease that gave jobs and holds none any more."""
        self.spent.append(lease_id)
        self.spent_ids.add(lease_id)
        if len(self.spent) > SPENT_KEPT:
            self.spent_ids.discard(self.spent.popleft())

    def held_by(self, job_id: str, lease_id: str) -> Card | None:
        """Give the card of a job if this lease holds it now."""
        card = self.cards.get(job_id)
        return card if card is not None and card.lease_id == lease_id else None

    # -- times to live ------------------------------------------------------------------------

    def watch(self, card: Card) -> None:
        """Let the reaper end an unfinished job when its time to live runs out."""
        if card.expires_at is None or card.id in self.expiries:
            return
        expiry = self.expiries[card.id] = Expiry(card, self.ticket())
        self.expiring.join((card.expires_at,), expiry)

    def unwatch(self, card: Card) -> None:
        """Undo `watch`, when a job has finished or is gone."""
        if card.expires_at is None:
            return
        expiry = self.expiries.pop(card.id, None)
        if expiry is not None:
            expiry.ticket = 0
            self.expiring.left()
