"""Gates: what holds a job back from waiting. Its group gives it a place, its rate a slot."""

from __future__ import annotations

import heapq
from enum import IntEnum

from jobyard.memory.card import Card
from jobyard.memory.line import Line

__all__ = ["Gate", "Places", "Slots"]


class Gate(IntEnum):
    """What a blocked job waits for."""

    PARENTS = 0
    GROUP = 1
    RATE = 2


class Places:
    """The places of one group: who has one keeps it to its end, the others stand in line.

    `members` counts the unfinished jobs of the group; without any, nothing is left of it.
    """

    __slots__ = ("blocked", "limit", "members", "taken")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.members = 0
        self.taken = 0
        self.blocked: Line[Card] = Line()

    @property
    def is_free(self) -> bool:
        """Whether a place is free."""
        return self.taken < self.limit


class Slots:
    """The slots of one rate: as many as starts are allowed in a period, each used once in it.

    A job holds a slot from before it waits until it starts, and the slot is free again a period
    later. So the starts of a slot lie a period apart, and any period has at most as many starts as
    there are slots. `held` counts the slots that jobs hold, `free_at` are the instants from which
    the others may be taken; instants that have come are as good as none.
    """

    __slots__ = ("blocked", "count", "free_at", "held", "members", "per_ms")

    def __init__(self, count: int, per_ms: int) -> None:
        self.count = count
        self.per_ms = per_ms
        self.members = 0
        self.held = 0
        self.free_at: list[int] = []
        self.blocked: Line[Card] = Line()

    def is_spent(self, now: int) -> bool:
        """Whether nothing would be forgotten with it: no job of the rate, no slot to wait for."""
        return not self.members and all(at <= now for at in self.free_at)

    def free(self, now: int) -> int:
        """Tell how many slots may be taken and are good now."""
        return self.count - self.held - sum(at > now for at in self.free_at)

    def resize(self, count: int, per_ms: int) -> None:
        """Allow another rate from now on; of too many slots those go that were free first."""
        self.count = count
        self.per_ms = per_ms
        while self.free_at and self.held + len(self.free_at) > count:
            heapq.heappop(self.free_at)

    def take(self, now: int) -> int | None:
        """Take the slot that is free first; tell from when, or `None` if all are held."""
        while self.free_at and self.free_at[0] <= now:
            heapq.heappop(self.free_at)
        if self.held + len(self.free_at) < self.count:
            self.held += 1
            return now
        if self.held >= self.count:
            return None
        self.held += 1
        return heapq.heappop(self.free_at)

    def give(self, at: int) -> None:
        """Let a slot that was held be free from an instant on."""
        self.held -= 1
        if self.held + len(self.free_at) < self.count:
            heapq.heappush(self.free_at, at)
