"""A tally: what happened in one queue, by the minute."""

from __future__ import annotations

import msgspec

from jobyard.metrics import MINUTE_MS, Bucket, Metrics

__all__ = ["Minute", "Tally"]

MINUTES_KEPT = 25 * 60
"""How many minutes are told apart: a day, and an hour to read it in."""


class Minute(msgspec.Struct, eq=False):
    """What happened within one minute, or, as `Tally.before`, within all that are too old."""

    added: int = 0
    started: int = 0
    completed: int = 0
    failed: int = 0
    retried: int = 0
    cancelled: int = 0
    crashed: int = 0
    removed: int = 0
    ran_ms: int = 0
    peak: int = 0

    def absorb(self, other: Minute) -> None:
        """Add another's figures to one's own."""
        for name in self.__struct_fields__:
            mine, its = getattr(self, name), getattr(other, name)
            setattr(self, name, max(mine, its) if name == "peak" else mine + its)


class Tally(msgspec.Struct, eq=False):
    """The minutes of a queue by their start, and the sum of those that are kept no more.

    A transition is counted once, in its minute; the total is what the minutes sum up to.
    """

    minutes: dict[int, Minute] = {}
    before: Minute = msgspec.field(default_factory=Minute)

    def minute(self, now: int) -> Minute:
        """Give the minute to count in."""
        at = now - now % MINUTE_MS
        found = self.minutes.get(at)
        if found is None:
            found = self.minutes[at] = Minute()
            self._fold(at - MINUTES_KEPT * MINUTE_MS)
        return found

    def _fold(self, horizon: int) -> None:
        for at in [at for at in self.minutes if at < horizon]:
            self.before.absorb(self.minutes.pop(at))

    def metrics(self, queue: str, *, since: int, until: int) -> Metrics:
        """Tell the total, and the minutes that begin within a span, oldest first."""
        total = Minute()
        total.absorb(self.before)
        for minute in self.minutes.values():
            total.absorb(minute)
        return Metrics(
            total=_bucket(queue, 0, total),
            minutes=tuple(
                _bucket(queue, at, minute)
                for at, minute in sorted(self.minutes.items())
                if since <= at < until
            ),
        )


def _bucket(queue: str, at: int, minute: Minute) -> Bucket:
    return Bucket(queue=queue, at=at, **msgspec.structs.asdict(minute))
