from __future__ import annotations

from collections.abc import Iterator

import pytest

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
