"""A bell that one task sleeps by."""

from __future__ import annotations

import asyncio

__all__ = ["Bell"]


class Bell:
    """Wakes the one task that waits by it.

    Rung while nobody waits, it ends the next wait at once.
    """

    __slots__ = ("_is_rung", "_sleeper")

    def __init__(self) -> None:
        self._is_rung = False
        self._sleeper: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake the sleeper, or the next one."""
        self._is_rung = True
        sleeper = self._sleeper
        if sleeper is not None and not sleeper.done():
            sleeper.set_result(None)

    async def wait(self, seconds: float | None = None) -> bool:
        """Sleep until the bell rings, at most for `seconds`; tell whether it rang."""
        if not self._is_rung:
            await self._sleep(seconds)
        was_rung, self._is_rung = self._is_rung, False
        return was_rung

    async def _sleep(self, seconds: float | None) -> None:
        loop = asyncio.get_running_loop()
        sleeper = self._sleeper = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, _wake, sleeper)
        try:
            await sleeper
        finally:
            self._sleeper = None
            if timer is not None:
                timer.cancel()


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
