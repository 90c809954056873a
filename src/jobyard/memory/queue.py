"""A queue of the yard: where its jobs stand in line."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from jobyard.job import JobState
from jobyard.lease import Source
from jobyard.memory.card import Card
from jobyard.memory.gates import Places, Slots
from jobyard.memory.limiter import Limiter
from jobyard.memory.line import Line, Rank
from jobyard.memory.tally import Tally

__all__ = ["Lane", "Shelf", "YardQueue", "claim_rank"]


def claim_rank(card: Card) -> Rank:
    """Tell a waiting job's place in the claim order.

    A LIFO job has the signs of due and number turned: it comes before all others of its priority,
    since a due is never negative, and the latest comes first.
    """
    if card.lifo:
        return (-card.priority, -card.due_at, -card.no)
    return (-card.priority, card.due_at, card.no)


class Lane(Line[Card]):
    """The waiting jobs of one queue, channel and name, in claim order."""

    __slots__ = ("channel", "name")

    def __init__(self, channel: str, name: str) -> None:
        super().__init__()
        self.channel = channel
        self.name = name


class Shelf:
    """The finished jobs of a queue in one state, oldest first.

    Those with a rule of their own for how long they stay lie apart, so that looking for the ones
    past the general age does not pass over them each time.
    """

    __slots__ = ("plain", "ruled")

    def __init__(self) -> None:
        self.plain: Line[Card] = Line()
        self.ruled: Line[Card] = Line()

    def line_of(self, card: Card) -> Line[Card]:
        """Tell on which side a card lies."""
        return self.plain if card.keep is None else self.ruled

    def put(self, card: Card) -> None:
        """Lay down a card that has just finished and got a new ticket."""
        assert card.finished_at is not None
        self.line_of(card).join((card.finished_at, card.no), card)

    def oldest(self) -> Card | None:
        """Show the card that finished first."""
        heads = [head for head in (self.plain.head(), self.ruled.head()) if head is not None]
        return min(heads)[1] if heads else None

    def walk(self) -> Iterator[Card]:
        """Show the cards, oldest first."""
        both = heapq.merge(self.plain.walk(), self.ruled.walk())
        return (card for _rank, card in both)


class YardQueue:
    """One queue: its jobs in line, how many there are in each state, what happened.

    `aside` holds waiting jobs past their time to live that a claim came upon: they wait for the
    reaper, and no claim shall pass over them twice (ALL-7). `closing` says that an obliteration
    has begun (SWEEP-4). `limiters` are those of the whole queue (`None`) and of its names.
    """

    __slots__ = (
        "aside",
        "blocked",
        "closing",
        "counts",
        "delayed",
        "groups",
        "lanes",
        "limiters",
        "name",
        "paused",
        "rates",
        "shelves",
        "tally",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.paused = False
        self.closing = False
        self.counts = dict.fromkeys(JobState, 0)
        self.lanes: dict[tuple[str, str], Lane] = {}
        self.limiters: dict[str | None, Limiter] = {}
        self.aside: dict[str, Card] = {}
        self.blocked: dict[str, Card] = {}
        self.groups: dict[str, Places] = {}
        self.rates: dict[str, Slots] = {}
        self.delayed: Line[Card] = Line()
        self.shelves = {state: Shelf() for state in JobState if state.is_finished}
        self.tally = Tally()

    @property
    def gives(self) -> bool:
        """Whether claims may take jobs of it."""
        return not (self.paused or self.closing)

    # -- waiting ------------------------------------------------------------------------------

    def line_up(self, card: Card) -> None:
        """Let a card, which has just got a new ticket, wait in its lane."""
        key = (card.channel, card.name)
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Lane(*key)
        lane.join(claim_rank(card), card)

    def step_out(self, card: Card) -> None:
        """Let go of a waiting card, which has just got another ticket."""
        if self.aside.pop(card.id, None) is not None:
            return
        lane = self.lanes[card.channel, card.name]
        lane.left()
        self.drop_if_empty(lane)

    def first_of(self, lane: Lane, now: int) -> tuple[Rank, Card] | None:
        """Show the first job of a lane that may be given, setting aside those past their time."""
        while (head := lane.head()) is not None:
            card = head[1]
            if not card.has_expired(now):
                return head
            lane.take()
            self.aside[card.id] = card
        return None

    def lanes_of(self, source: Source) -> list[Lane]:
        """Tell the lanes that a source may take from; none of them is empty."""
        names, channels = source.names, source.channels
        if names is None and channels is None:
            return list(self.lanes.values())
        if names is not None and channels is not None:
            keys = {(channel, name) for channel in channels for name in names}
            return [self.lanes[key] for key in keys if key in self.lanes]
        return [
            lane
            for (channel, name), lane in self.lanes.items()
            if (names is None or name in names) and (channels is None or channel in channels)
        ]

    def drop_if_empty(self, lane: Lane) -> None:
        """Forget a lane that nobody stands in."""
        if not lane.live:
            self.lanes.pop((lane.channel, lane.name), None)

    def limiters_of(self, name: str) -> list[Limiter]:
        """Tell what limits the jobs of a name: the queue's limiter, the name's, or none."""
        found = (self.limiters.get(key) for key in (None, name))
        return [limiter for limiter in found if limiter is not None]

    def drop_spent_limiters(self, now: int) -> None:
        """Forget the limiters that limit nothing any more."""
        for key in [key for key, each in self.limiters.items() if each.is_spent(now)]:
            del self.limiters[key]

    def waiting(self) -> Iterator[Card]:
        """Show the waiting jobs in no order."""
        for lane in self.lanes.values():
            yield from lane.items()
        yield from self.aside.values()

    def drop_spent_rates(self, now: int) -> None:
        """Forget the rates of which nothing is left to know."""
        for key in [key for key, slots in self.rates.items() if slots.is_spent(now)]:
            del self.rates[key]

    # -- looking ------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        """Tell when the earliest delayed job is due."""
        head = self.delayed.head()
        return None if head is None else head[1].due_at

    def is_busy(self, now: int) -> bool:
        """Whether anything waits, runs, or is delayed and due: the opposite of drained."""
        if self.counts[JobState.WAITING] or self.counts[JobState.ACTIVE]:
            return True
        due = self.next_due()
        return due is not None and due <= now
