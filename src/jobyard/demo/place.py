"""Where the demo keeps its jobs: a store for a while, or a yard of its own in one that there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobyard import QueueService
from jobyard.backend import Capability
from jobyard.errors import ConfigError
from jobyard.plugins import load_plugins
from jobyard.url import BackendUrl

__all__ = ["NAMESPACE", "STORE", "Place", "clear", "enter", "lent", "made"]

STORE: Final = "sqlite"
"""The kind of store if none is asked for."""

NAMESPACE: Final = "jobyard_demo"
"""The demo's own yard in a store that others use too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A store, and the demo's yard in it (`None`: all of it is the demo's)."""

    url: str
    summary: str
    lasts: bool
    namespace: str | None = None

    def service(self) -> QueueService:
        """Make a service on it."""
        return QueueService(self.url, namespace=self.namespace)


@contextmanager
def made(store: str, folder: Path, *, keep: bool) -> Iterator[Place]:
    """Make a store of some kind for a while; raise `ConfigError` where that cannot be."""
    with load_plugins().temporary(store, folder) as found:
        if keep and not found.lasts:
            msg = (
                f"nothing is left to keep: the demo would run on {found.summary}; leave out --keep"
            )
            raise ConfigError(msg)
        yield Place(url=found.url, summary=found.summary, lasts=found.lasts)


@contextmanager
def lent(url: str) -> Iterator[Place]:
    """Take a yard of the demo's own in the store that a URL names."""
    parsed = BackendUrl.parse(url)
    if Capability.SHARED not in load_plugins().resolve(parsed.scheme).capabilities:
        msg = f"the demo has worker processes, and {parsed.scheme}:// cannot be shared with them"
        raise ConfigError(msg)
    summary = f"{parsed}, in the namespace {NAMESPACE}"
    yield Place(url=url, summary=summary, lasts=True, namespace=NAMESPACE)


async def enter(place: Place) -> None:
    """Clear the demo's yard of what an earlier one left; raise `ConfigError` if one runs there."""
    if place.namespace is None:
        return
    async with place.service() as service:
        if await service.list_workers():
            msg = (
                f"a demo runs on {place.summary}, or one of its workers was killed a moment ago: "
                "try again later"
            )
            raise ConfigError(msg)
    await clear(place)


async def clear(place: Place) -> None:
    """Remove every job of the demo from a yard that stays."""
    if place.namespace is None:
        return
    async with place.service() as service:
        for queue in await service.list_queues():
            await service.obliterate_queue(queue, force=True)
