"""Rooms: how many more jobs one claim may take of a source, a queue, a name."""

from __future__ import annotations

from jobyard.lease import Claim
from jobyard.memory.limiter import Limiter
from jobyard.memory.queue import YardQueue

__all__ = ["Room", "Rooms", "is_left", "take_of"]


class Room:
    """How many jobs may still be taken."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


class Rooms:
    """The rooms of one claim: each source has one, and each limiter that it meets.

    Lanes share them: what one of them gives, the others of its source, queue and name may not.
    """

    def __init__(self, now: int, want: Claim) -> None:
        self._now = now
        self._sources = [Room(source.limit) for source in want.sources]
        self._limited: dict[tuple[str, str | None], Room] = {}

    def of(self, index: int, queue: YardQueue, name: str) -> tuple[Room, tuple[Room, ...]]:
        """Tell what bounds the jobs of a name that a source takes: the source, and the limits."""
        limiters = queue.limiters_of(name) if queue.limiters else ()
        return self._sources[index], tuple(self._of(queue, each) for each in limiters)

    def _of(self, queue: YardQueue, limiter: Limiter) -> Room:
        key = (queue.name, limiter.name)
        found = self._limited.get(key)
        if found is None:
            found = self._limited[key] = Room(limiter.room(self._now))
        return found


def is_left(rooms: tuple[Room, ...]) -> bool:
    """Whether another job may be taken."""
    for room in rooms:  # noqa: SIM110 - a generator would cost more than the rest of the choice
        if room.left <= 0:
            return False
    return True


def take_of(rooms: tuple[Room, ...]) -> None:
    """Note that a job was taken."""
    for room in rooms:
        room.left -= 1
