"""The stores of chaos runs: servers of their own, which keep what they have acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from jobyard_conformance.harness import Harness, ServerControl, UrlHarness
from jobyard_redis.throwaway import Product, ThrowawayServer

DURABLE: Final[Mapping[str, str]] = MappingProxyType({"appendfsync": "always"})
"""With `everysec` a server whose disk is slow also puts the write itself off, not the fsync alone:
killed then, it loses what it had acknowledged."""


class Control:
    """Stops, kills and starts a server."""

    def __init__(self, server: ThrowawayServer) -> None:
        self._server = server

    async def stop(self) -> None:
        await asyncio.to_thread(self._server.stop)

    async def kill(self) -> None:
        await asyncio.to_thread(self._server.kill)

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)


class ChaosHarness(UrlHarness):
    """A server that chaos runs may harm."""

    def __init__(self, server: ThrowawayServer) -> None:
        super().__init__(server.url)
        self._server = server

    def control(self) -> ServerControl:
        return Control(self._server)


@contextmanager
def valkey(folder: Path, settings: Mapping[str, str] = DURABLE) -> Iterator[Harness]:
    """Give a Valkey 9, by default one that writes through."""
    del folder  # the server has one of its own
    with ThrowawayServer(Product.VALKEY, settings=dict(settings)) as server:
        yield ChaosHarness(server)


def unsynced(folder: Path) -> AbstractContextManager[Harness]:
    """Give one that writes before it answers, and leaves it to the system when to sync.

    That does for the kill of any process, and a slow disk does not hold it up.
    """
    return valkey(folder, {"appendfsync": "no"})


@contextmanager
def redis62(folder: Path) -> Iterator[Harness]:
    """Give a Redis 6.2 that writes through."""
    del folder
    with ThrowawayServer(Product.REDIS62, settings=dict(DURABLE)) as server:
        yield ChaosHarness(server)
