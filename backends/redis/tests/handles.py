"""What the tests of this folder build with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis import Redis
from tests.patience import PATIENCE

from jobyard.clock import Clock
from jobyard.url import BackendUrl
from jobyard_redis.backend import RedisBackend
from jobyard_redis.throwaway import ThrowawayServer

NAMESPACE = "tried"


def at(
    url: str, *, namespace: str = NAMESPACE, clock: Clock | None = None, **options: str
) -> RedisBackend:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    parsed = BackendUrl.parse(f"{url}?{query}" if query else url)
    return RedisBackend(parsed, namespace=namespace, clock=clock)


@asynccontextmanager
async def opened(
    url: str, *, namespace: str = NAMESPACE, clock: Clock | None = None, **options: str
) -> AsyncIterator[RedisBackend]:
    backend = at(url, namespace=namespace, clock=clock, **options)
    await backend.open()
    await backend.prepare()
    try:
        yield backend
    finally:
        await backend.close()


def admin(server: ThrowawayServer) -> Redis:
    """Give the server's operator a connection."""
    return Redis.from_url(server.url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
