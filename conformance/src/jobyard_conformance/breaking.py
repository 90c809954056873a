"""Handles that come to an end at one of their calls: before it, in it, or after its effect."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import cast

from jobyard.backend import Backend

__all__ = ["Broken", "Moment", "broken_at", "calls_made", "repeating_at"]

Call = Callable[..., Awaitable[object]]


class Moment(StrEnum):
    """When a call is broken off."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"
    """It took effect, and its answer is lost."""


class Broken(Exception):
    """The handle has come to its end."""


class _Counting:
    """A handle whose calls are counted, and one of which is treated in another way."""

    def __init__(self, inner: Backend, at: int, treat: Callable[[Call], Call]) -> None:
        self._inner = inner
        self._at = at
        self._treat = treat
        self.made: list[str] = []

    def __getattr__(self, name: str) -> object:
        member = getattr(self._inner, name)
        if name.startswith("_") or not inspect.iscoroutinefunction(member):
            return member
        call = cast("Call", member)

        async def counted(*args: object, **kwargs: object) -> object:
            self.made.append(name)
            chosen = self._treat(call) if len(self.made) == self._at else call
            return await chosen(*args, **kwargs)

        return counted


def broken_at(inner: Backend, at: int, moment: Moment, stop: Callable[[], None]) -> Backend:
    """Let a handle come to its end at its call number `at`.

    `stop` kills the process, or raises; then a call that is in flight is cancelled.
    """

    def treat(call: Call) -> Call:
        async def breaking(*args: object, **kwargs: object) -> object:
            if moment is Moment.BEFORE:
                stop()
            task = asyncio.ensure_future(call(*args, **kwargs))
            try:
                if moment is Moment.DURING:
                    for _ in range(2):
                        await asyncio.sleep(0)
                    stop()
                answer = await task
                stop()
                return answer
            finally:
                task.cancel()
                await asyncio.wait([task])

        return breaking

    return cast("Backend", _Counting(inner, at, treat))


def calls_made(handle: Backend) -> list[str]:
    """Tell the methods that were called on such a handle, in order."""
    return cast("_Counting", handle).made


def repeating_at(inner: Backend, at: int) -> Backend:
    """Lose the answer to call number `at`, and make the call again with the same arguments."""

    def treat(call: Call) -> Call:
        async def repeating(*args: object, **kwargs: object) -> object:
            await call(*args, **kwargs)
            return await call(*args, **kwargs)

        return repeating

    return cast("Backend", _Counting(inner, at, treat))
