from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from backends.redis.tests.handles import at
from backends.redis.tests.redis62 import HAS_REDIS62, NO_REDIS62

from jobyard_redis.backend import RedisBackend
from jobyard_redis.throwaway import Product, ThrowawayServer

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Skip, and say so, what needs Redis 6.2 on a Python that its package does not come for."""
    if HAS_REDIS62:
        return
    for item in items:
        if HERE in item.path.parents and _needs_redis62(item):
            item.add_marker(NO_REDIS62)


def _needs_redis62(item: pytest.Item) -> bool:
    called = getattr(item, "callspec", None)
    chosen = () if called is None else called.params.values()
    return "redis62" in getattr(item, "fixturenames", ()) or Product.REDIS62 in chosen


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
