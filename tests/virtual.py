"""A time that moves only when there is nothing left to do."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

EPOCH_MS = 1_700_000_000_000


class Waits(selectors.DefaultSelector):
    """A selector that never blocks: it moves its loop's time to the next timer instead."""

    loop: VirtualLoop | None = None

    def select(self, timeout: float | None = None) -> list[Any]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            raise RuntimeError("everything waits, and no timer is set: this would hang")
        assert self.loop is not None
        self.loop.seconds += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose hours pass at once, always in the same way."""

    def __init__(self) -> None:
        waits = Waits()
        self.seconds = 1_000.0
        super().__init__(waits)
        waits.loop = self

    def time(self) -> float:
        return self.seconds


class LoopClock:
    """The store's clock, in step with the loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._began = loop.time()

    def now_ms(self) -> int:
        return EPOCH_MS + int((self._loop.time() - self._began) * 1000 + 0.01)
