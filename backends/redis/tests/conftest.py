from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from backends.redis.tests.handles import at

from jobyard_redis.backend import RedisBackend
from jobyard_redis.throwaway import Product, ThrowawayServer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def valkey() -> Iterator[ThrowawayServer]:
    with ThrowawayServer(Product.VALKEY) as server:
        yield server


@pytest.fixture(scope="session")
def redis62() -> Iterator[ThrowawayServer]:
    with ThrowawayServer(Product.REDIS62) as server:
        yield server


@pytest.fixture(scope="session", params=list(Product))
def impatient(request: pytest.FixtureRequest) -> Iterator[ThrowawayServer]:
    """Give each product as a server that calls itself busy after a moment of a script."""
    with ThrowawayServer(request.param, settings={"lua-time-limit": "20"}) as server:
        yield server


@pytest.fixture
def server(impatient: ThrowawayServer) -> ThrowawayServer:
    """Give an empty server of each product."""
    impatient.clear()
    return impatient


@pytest.fixture
async def backend(server: ThrowawayServer) -> AsyncIterator[RedisBackend]:
    opened = at(server.url)
    await opened.open()
    await opened.prepare()
    yield opened
    await opened.close()
