"""Handles to which something happens at one of their calls: before, in, or after its effect."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, cast

from jobyard.backend import Backend
from jobyard.errors import BackendError

__all__ = [
    "SHARES",
    "Broken",
    "Moment",
    "Steps",
    "broken_at",
    "calls_made",
    "felled_at",
    "repeating_at",
]

Call = Callable[..., Awaitable[object]]

PAUSE_SECONDS: Final = 0.02
TRIES: Final = 3_000
FEW: Final = 2
"""At how many steps a server falls where not all are asked for: it takes a second each."""
SHARES: Final = 16
"""In how many tests it falls at each."""


class Moment(StrEnum):
    """When a call is broken off."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"
    """It took effect, and its answer is lost."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Which calls of a scenario a server falls at: a share of all, or a few by a seed."""

    seed: int
    share: int | None = None

    def __str__(self) -> str:
        """Name them."""
        return f"{self.seed}" if self.share is None else f"{self.share}-of-{SHARES}"

    def of(self, calls: int) -> list[tuple[int, Moment]]:
        """Choose among the calls from 1 on."""
        steps = [(at, moment) for at in range(1, calls + 1) for moment in Moment]
        if self.share is None:
            return random.Random(self.seed).sample(steps, FEW)
        return steps[self.share :: SHARES]


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


def felled_at(
    inner: Backend, at: int, moment: Moment, fell: Callable[[], Awaitable[None]]
) -> Backend:
    """Let the server fall at call number `at`: that call, and each other, is made until answered.

    `fell` lets it fall and gets it up again. After an effect the answer counts as lost.
    """

    def treat(call: Call) -> Call:
        async def felled(*args: object, **kwargs: object) -> object:
            if moment is Moment.BEFORE:
                await fell()
            task = asyncio.ensure_future(call(*args, **kwargs))
            if moment is Moment.DURING:
                for _ in range(2):
                    await asyncio.sleep(0)
                await fell()
            answer = await task
            if moment is Moment.AFTER:
                await fell()
                answer = await call(*args, **kwargs)
            return answer

        return felled

    return cast("Backend", _Counting(cast("Backend", _Persistent(inner)), at, treat))


class _Persistent:
    """A handle whose calls are made again while the store says that they may succeed later."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        member = getattr(self._inner, name)
        if name.startswith("_") or not inspect.iscoroutinefunction(member):
            return member
        return _persisting(cast("Call", member))


def _persisting(call: Call) -> Call:
    async def persisting(*args: object, **kwargs: object) -> object:
        for _ in range(TRIES):
            try:
                return await call(*args, **kwargs)
            except BackendError as error:
                if not error.transient:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)
        msg = f"after {TRIES} tries the store had not come back"
        raise AssertionError(msg)

    return persisting
