"""What the benchmarks need of a store besides its backend."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, NamedTuple

from benchmarks.stores.targets import Targets


class RawDrain(NamedTuple):
    """What a raw loop did: the numbers in the payloads, and how long it took."""

    numbers: list[int]
    seconds: float


class RawPair(NamedTuple):
    """Two ends of a store without jobyard, each on a connection of its own."""

    add: Callable[[bytes], object]
    """Add and commit a job with this payload, and wake the other end."""

    hear: Callable[[], bytes]
    """Wait for a job and claim it; return its payload."""


class Store(ABC):
    """One kind of store: makes places to measure in, and works in them without jobyard.

    The raw works are what a good engineer would write by hand for this one purpose: the same
    tables, indexes and durability as the backend's, the fewest statements, no layers.
    """

    scheme: ClassVar[str]
    targets: ClassVar[Targets]

    @classmethod
    @abstractmethod
    def fresh(cls, folder: Path, name: str) -> str:
        """Return the URL of a place that does not exist yet."""

    @classmethod
    @abstractmethod
    def discard(cls, url: str) -> None:
        """Remove a place and all that is in it."""

    @classmethod
    def address(cls, url: str) -> str:
        """Return the URL of a place as other programs take it."""
        return url

    @classmethod
    def clear(cls, url: str) -> None:
        """Remove a place that another program has filled."""
        cls.discard(url)

    @classmethod
    @abstractmethod
    def wait_for_chores(cls, url: str) -> None:
        """Return when the store has done what very many adds give it to do in the background."""

    @classmethod
    @abstractmethod
    def weigh(cls, url: str) -> int:
        """Return how many bytes a place takes that nobody has open."""

    operation: ClassVar[str]
    """What `counting` counts."""

    @classmethod
    @abstractmethod
    def counting(cls, url: str) -> AbstractContextManager[Callable[[], int]]:
        """Count what is asked of the store from now on, by what this process opens later."""

    @classmethod
    @abstractmethod
    def describe(cls) -> dict[str, str]:
        """Tell the product's version and the settings that matter."""

    @classmethod
    @abstractmethod
    def raw_drain(cls, url: str, batch: int) -> RawDrain:
        """Settle and claim in batches, decoding the payloads, until nothing waits."""

    @classmethod
    @abstractmethod
    def raw_add(cls, url: str, payloads: Sequence[bytes]) -> float:
        """Add and commit one row for each payload; return the seconds it took."""

    @classmethod
    @abstractmethod
    async def raw_add_awaited(cls, url: str, payloads: Sequence[bytes]) -> float:
        """Do the same from a coroutine that must not block the event loop."""

    @classmethod
    @abstractmethod
    def raw_pair(cls, url: str) -> AbstractContextManager[RawPair]:
        """Connect one end that adds and one that waits."""

    @classmethod
    def raw_starts(cls, url: str, payloads: Sequence[bytes], pause: float) -> list[float]:
        """Add a job after each pause; return the seconds from each add to its claim at rest."""
        with cls.raw_pair(url) as pair, ThreadPoolExecutor(1) as thread:
            delays = []
            for payload in payloads:
                heard = thread.submit(_hear, pair)
                time.sleep(pause)
                called = time.monotonic()
                pair.add(payload)
                at, found = heard.result()
                assert found == payload
                delays.append(at - called)
            return delays


def _hear(pair: RawPair) -> tuple[float, bytes]:
    found = pair.hear()
    return time.monotonic(), found
