"""A limiter: what a queue, or a name in it, may give now, and when again."""

from __future__ import annotations

from collections import deque

from jobyard.lease import MAX_BATCH
from jobyard.limit import Limit, LimitInfo, Rate

__all__ = ["Limiter"]


class Limiter:
    """The limit and the hold of one queue or name.

    `active` counts the jobs of it that are active. `starts` are the claims of the latest period,
    each as its instant and how many jobs it took: at most `count` jobs in all, so that their number
    is bounded by the rate; `started` is their sum.
    """

    __slots__ = ("active", "concurrency", "held_until", "name", "rate", "started", "starts")

    def __init__(self, name: str | None, *, active: int) -> None:
        self.name = name
        self.concurrency: int | None = None
        self.rate: Rate | None = None
        self.held_until = 0
        self.active = active
        self.starts: deque[tuple[int, int]] = deque()
        self.started = 0

    def limit(self, wish: Limit) -> None:
        """Replace the limit; the same rate goes on counting (LIMIT-2)."""
        self.concurrency = wish.concurrency
        if wish.rate != self.rate:
            self.rate = wish.rate
            self.starts.clear()
            self.started = 0

    def hold(self, ms: int, now: int) -> None:
        """Give nothing for a time, or for as long as was said before if that is longer."""
        self.held_until = max(self.held_until, now + ms) if ms else 0

    def room(self, now: int) -> int:
        """Tell how many jobs may be given now."""
        if self.held_until > now:
            return 0
        room = MAX_BATCH
        if self.concurrency is not None:
            room = min(room, self.concurrency - self.active)
        if self.rate is not None:
            self._forget(now - self.rate.per_ms)
            room = min(room, self.rate.count - self.started)
        return max(room, 0)

    def opens_at(self, now: int) -> int:
        """Tell from when neither the hold nor the rate keeps a job back: now if they do not."""
        at = max(self.held_until, now)
        if self.rate is None:
            return at
        self._forget(now - self.rate.per_ms)
        if self.started < self.rate.count:
            return at
        return max(at, self.starts[0][0] + self.rate.per_ms)

    def start(self, count: int, now: int) -> None:
        """Note that a claim took jobs."""
        self.active += count
        if self.rate is not None:
            self.starts.append((now, count))
            self.started += count

    def _forget(self, until: int) -> None:
        while self.starts and self.starts[0][0] <= until:
            self.started -= self.starts.popleft()[1]

    def is_spent(self, now: int) -> bool:
        """Whether nothing would be forgotten with it."""
        return self.concurrency is None and self.rate is None and self.held_until <= now

    def info(self) -> LimitInfo:
        """Show it."""
        return LimitInfo(
            name=self.name,
            concurrency=self.concurrency,
            rate=self.rate,
            held_until=self.held_until or None,
        )
