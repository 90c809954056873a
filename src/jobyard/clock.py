"""Time as the seam knows it: integer milliseconds since the Unix epoch, UTC."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of "now" that a test puts in the place of the store's own clock."""

    def now_ms(self) -> int:
        """Tell the time in milliseconds since the Unix epoch, UTC."""
        ...


class SystemClock:
    """The host's clock, held monotone: it stands still rather than going back.

    A host whose time is set back would otherwise make a lease outlive its holder's belief in it
    and run a delayed job's instant twice.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def now_ms(self) -> int:
        """Tell the host's time, never earlier than the answer before."""
        self._last = max(self._last, time.time_ns() // 1_000_000)
        return self._last


class ManualClock:
    """A clock that moves only when told to: what the conformance suite runs on."""

    __slots__ = ("_now",)

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now = now_ms

    def now_ms(self) -> int:
        """Tell the time that was set last."""
        return self._now

    def advance(self, *, seconds: float = 0, ms: int = 0) -> None:
        """Move the time on by a number of seconds and milliseconds, neither negative."""
        if seconds < 0 or ms < 0:
            msg = "a clock is only ever advanced; it does not go back"
            raise ValueError(msg)
        self._now += round(seconds * 1000) + ms
