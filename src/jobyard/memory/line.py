"""A line: things in order of rank, with removal from anywhere."""

from __future__ import annotations

import heapq
from collections import deque
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
    """A queue by rank whose entries die when their item's ticket changes.

    An item that leaves is not searched for: it gets another ticket, which makes its entry stale,
    and `left` is called. Stale entries go when they come up, or all at once when they outnumber
    the live ones. Items that come in the order of their ranks, as most do, stand in `row`, where
    both ends cost nothing; the others are in the heap `crowd`. So every operation costs at most
    the logarithm of the length, amortized. No two entries may have the same rank and ticket:
    items are never compared.
    """

    __slots__ = ("crowd", "live", "row")

    def __init__(self) -> None:
        self.row: deque[tuple[Rank, int, T]] = deque()
        self.crowd: list[tuple[Rank, int, T]] = []
        self.live = 0

    def join(self, rank: Rank, item: T) -> None:
        """Put an item, which has just got a new ticket, in its place."""
        entry = (rank, item.ticket, item)
        if not self.row or self.row[-1] < entry:
            self.row.append(entry)
        else:
            heapq.heappush(self.crowd, entry)
        self.live += 1

    def left(self) -> None:
        """Note that an item of this line has just got another ticket."""
        self.live -= 1
        if len(self.row) + len(self.crowd) > 2 * self.live + SLACK:
            self.row = deque(entry for entry in self.row if entry[1] == entry[2].ticket)
            self.crowd = [entry for entry in self.crowd if entry[1] == entry[2].ticket]
            heapq.heapify(self.crowd)

    def head(self) -> tuple[Rank, T] | None:
        """Show the first item and its rank."""
        row, crowd = self.row, self.crowd
        while row and row[0][1] != row[0][2].ticket:
            row.popleft()
        while crowd and crowd[0][1] != crowd[0][2].ticket:
            heapq.heappop(crowd)
        if not crowd:
            return (row[0][0], row[0][2]) if row else None
        first = row[0] if row and row[0] < crowd[0] else crowd[0]
        return first[0], first[2]

    def take(self) -> None:
        """Remove the first item, which `head` has just shown."""
        if not self.crowd or (self.row and self.row[0] < self.crowd[0]):
            self.row.popleft()
        else:
            heapq.heappop(self.crowd)
        self.live -= 1

    def walk(self) -> Iterator[tuple[Rank, T]]:
        """Show the items in order, changing nothing; the cost is of what is looked at."""
        for rank, ticket, item in heapq.merge(self.row, self._walk_crowd()):
            if item.ticket == ticket:
                yield rank, item

    def _walk_crowd(self) -> Iterator[tuple[Rank, int, T]]:
        """Go down the heap, always to the smallest of the entries whose parents were shown."""
        crowd = self.crowd
        frontier = [(crowd[0], 0)] if crowd else []
        while frontier:
            entry, at = heapq.heappop(frontier)
            for child in (2 * at + 1, 2 * at + 2):
                if child < len(crowd):
                    heapq.heappush(frontier, (crowd[child], child))
            yield entry

    def items(self) -> Iterator[T]:
        """Show the items in no order."""
        for entries in (self.row, self.crowd):
            for _rank, ticket, item in entries:
                if item.ticket == ticket:
                    yield item
