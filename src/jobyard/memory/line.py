"""A line: things in order of rank, with removal from anywhere."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

__all__ = ["Line", "Rank", "Ticketed"]

Rank = tuple[int, ...]

SLACK = 64
"""How many stale entries a line may hold before they are worth clearing out."""


class Ticketed(Protocol):
    """What can stand in a line: its ticket is the one of the place that it has now."""

    ticket: int


T = TypeVar("T", bound=Ticketed)


class Line(Generic[T]):
    """A heap whose entries die when their item's ticket changes.

    An item that leaves is not searched for: it gets another ticket, which makes its entry stale,
    and `left` is called. Stale entries go when they come up, or all at once when they outnumber
    the live ones, so that every operation costs the logarithm of the length, amortized. No two
    entries may have the same rank and ticket: items are never compared.
    """

    __slots__ = ("entries", "live")

    def __init__(self) -> None:
        self.entries: list[tuple[Rank, int, T]] = []
        self.live = 0

    def join(self, rank: Rank, item: T) -> None:
        """Put an item, which has just got a new ticket, in its place."""
        heapq.heappush(self.entries, (rank, item.ticket, item))
        self.live += 1

    def left(self) -> None:
        """Note that an item of this line has just got another ticket."""
        self.live -= 1
        if len(self.entries) > 2 * self.live + SLACK:
            self.entries = [entry for entry in self.entries if entry[1] == entry[2].ticket]
            heapq.heapify(self.entries)

    def head(self) -> tuple[Rank, T] | None:
        """Show the first item and its rank."""
        entries = self.entries
        while entries:
            rank, ticket, item = entries[0]
            if item.ticket == ticket:
                return rank, item
            heapq.heappop(entries)
        return None

    def take(self) -> None:
        """Remove the first item, which `head` has just shown."""
        heapq.heappop(self.entries)
        self.live -= 1

    def walk(self) -> Iterator[tuple[Rank, T]]:
        """Show the items in order, changing nothing; the cost is of what is looked at."""
        entries = self.entries
        frontier = [(entries[0], 0)] if entries else []
        while frontier:
            (rank, ticket, item), at = heapq.heappop(frontier)
            for child in (2 * at + 1, 2 * at + 2):
                if child < len(entries):
                    heapq.heappush(frontier, (entries[child], child))
            if item.ticket == ticket:
                yield rank, item

    def items(self) -> Iterator[T]:
        """Show the items in no order."""
        return (item for _rank, ticket, item in self.entries if item.ticket == ticket)
