"""A clock that a test moves."""

from __future__ import annotations

import time
from datetime import datetime

from jobyard.durations import Duration, from_ms, instant_ms, to_ms
from jobyard.errors import InvalidOption

__all__ = ["FrozenClock"]


class FrozenClock:
    """Stands still at an instant until it is moved, and only ever moves forward.

    It is a `jobyard.clock.Clock`: give it to `QueueService(url, clock=...)`, on any store.
    """

    def __init__(self, at: datetime | None = None) -> None:
        """Begin at an aware datetime, or now."""
        self._ms = round(time.time() * 1000) if at is None else instant_ms(at, "at")

    def now_ms(self) -> int:
        """Tell the time in milliseconds since the Unix epoch, UTC."""
        return self._ms

    @property
    def now(self) -> datetime:
        """The time, in UTC."""
        now = from_ms(self._ms)
        assert now is not None
        return now

    def advance(self, by: Duration) -> datetime:
        """Move on by so many seconds, or a `timedelta`; tell the time then."""
        self._ms += to_ms(by, "by")
        return self.now

    def move_to(self, at: datetime) -> datetime:
        """Move on to an aware datetime; raises `InvalidOption` for one that has passed."""
        ms = instant_ms(at, "at")
        if ms < self._ms:
            msg = f"the clock stands at {self.now.isoformat()} and does not go back to {at}"
            raise InvalidOption(msg)
        self._ms = ms
        return self.now

    def __repr__(self) -> str:
        """Show the time."""
        return f"<FrozenClock {self.now.isoformat()}>"
