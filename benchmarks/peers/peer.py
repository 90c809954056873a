"""What a peer has to offer to be measured: adding jobs, and a worker."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import ClassVar, Final

EMAIL: Final = "user@example.com"

Called = list[tuple[int, int]]
"""The numbers of jobs, each with the nanosecond at which its add was called."""


class Peer(ABC):
    """A job queue on one store, set up as its authors recommend for many small jobs.

    Every job's payload is `{"user_id": number, "email": EMAIL}`, and its handler calls
    `tally.ran(number)` and nothing else.
    """

    packages: ClassVar[tuple[str, ...]]
    """Whose versions belong to the result: the peer and its driver."""

    settings: ClassVar[str]
    """What differs from the peer's defaults, and what a reader should know of its promises."""

    choices: ClassVar[tuple[str, ...]]
    """The ways to run its worker that are tried; the fastest is measured."""

    jobs: ClassVar[int]
    """How many jobs its worker drains: enough for a second or more."""

    has_bulk: ClassVar[bool] = False
    """Whether it has a call that adds many."""

    def __init__(self, url: str) -> None:
        self.url = url

    def prepare(self) -> None:
        """Make an empty place ready: most do when they first connect."""
        self.add_one(range(0))

    @abstractmethod
    def add_one(self, numbers: range) -> float:
        """Add one call after the other; return the seconds that took."""

    @abstractmethod
    def add_together(self, numbers: range, callers: int) -> float:
        """Add from so many callers at once; return the seconds that took."""

    @abstractmethod
    def add_bulk(self, numbers: range, bulk: int) -> float:
        """Add in calls of so many; return the seconds that took."""

    @abstractmethod
    def call(self, numbers: range, pause: float) -> Called:
        """Add a job now and then; return when each add was called."""

    @abstractmethod
    def work(self, choice: str) -> None:
        """Run a worker until killed."""


def parts(numbers: range, size: int) -> list[range]:
    """Cut numbers into calls."""
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


class AwaitedPeer(Peer):
    """A peer with coroutines; callers at once are tasks."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Hold what adding needs."""
        yield

    @abstractmethod
    async def add(self, number: int) -> None:
        """Add one job."""

    async def add_many(self, numbers: Sequence[int]) -> None:
        """Add many jobs in one call."""
        raise NotImplementedError

    @abstractmethod
    async def run(self, choice: str) -> None:
        """Run a worker."""

    def work(self, choice: str) -> None:
        """Run a worker until killed."""
        asyncio.run(self.run(choice))

    def add_one(self, numbers: range) -> float:
        """Add one awaited call after the other."""

        async def add() -> float:
            async with self.opened():
                began = time.perf_counter()
                for number in numbers:
                    await self.add(number)
                return time.perf_counter() - began

        return asyncio.run(add())

    def add_together(self, numbers: range, callers: int) -> float:
        """Add from so many tasks."""

        async def some(mine: range) -> None:
            for number in mine:
                await self.add(number)

        async def add() -> float:
            async with self.opened():
                began = time.perf_counter()
                await asyncio.gather(*(some(numbers[caller::callers]) for caller in range(callers)))
                return time.perf_counter() - began

        return asyncio.run(add())

    def add_bulk(self, numbers: range, bulk: int) -> float:
        """Add in awaited calls of so many."""

        async def add() -> float:
            async with self.opened():
                began = time.perf_counter()
                for part in parts(numbers, bulk):
                    await self.add_many(part)
                return time.perf_counter() - began

        return asyncio.run(add())

    def call(self, numbers: range, pause: float) -> Called:
        """Add a job now and then."""

        async def add() -> Called:
            called = []
            async with self.opened():
                for number in numbers:
                    await asyncio.sleep(pause)
                    called.append((number, time.monotonic_ns()))
                    await self.add(number)
            return called

        return asyncio.run(add())


class BlockingPeer(Peer):
    """A peer with plain functions; callers at once are threads."""

    @abstractmethod
    def add(self, number: int) -> None:
        """Add one job."""

    def add_many(self, numbers: Sequence[int]) -> None:
        """Add many jobs in one call."""
        raise NotImplementedError

    def add_one(self, numbers: range) -> float:
        """Add one call after the other."""
        began = time.perf_counter()
        for number in numbers:
            self.add(number)
        return time.perf_counter() - began

    def add_together(self, numbers: range, callers: int) -> float:
        """Add from so many threads."""

        def some(mine: range) -> None:
            for number in mine:
                self.add(number)

        with ThreadPoolExecutor(callers) as pool:
            began = time.perf_counter()
            list(pool.map(some, [numbers[caller::callers] for caller in range(callers)]))
            return time.perf_counter() - began

    def add_bulk(self, numbers: range, bulk: int) -> float:
        """Add in calls of so many."""
        began = time.perf_counter()
        for part in parts(numbers, bulk):
            self.add_many(part)
        return time.perf_counter() - began

    def call(self, numbers: range, pause: float) -> Called:
        """Add a job now and then."""
        called = []
        for number in numbers:
            time.sleep(pause)
            called.append((number, time.monotonic_ns()))
            self.add(number)
        return called
