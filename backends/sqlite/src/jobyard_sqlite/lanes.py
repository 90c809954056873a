"""Queues and lanes as a transaction sees them."""

from __future__ import annotations

from typing import NamedTuple


class QueueRow(NamedTuple):
    """A queue as it stands within the current transaction; `ver` grows with its lanes."""

    id: int
    name: str
    paused: int
    ver: int


class LaneRow(NamedTuple):
    """One channel and job name of a queue."""

    id: int
    channel: str
    name: str


class Lanes:
    """The lanes that this process remembers.

    A lane's number never changes and is never used again, so what is remembered stays right; the
    list of a queue's lanes is right for its version. After a transaction that was rolled back all
    is forgotten, since it may have been made up in it.
    """

    def __init__(self) -> None:
        self.ids: dict[tuple[int, str, str], int] = {}
        self.of_queue: dict[int, tuple[int, tuple[LaneRow, ...]]] = {}

    def forget(self) -> None:
        """Forget everything."""
        self.ids.clear()
        self.of_queue.clear()
