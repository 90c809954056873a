from __future__ import annotations

from collections.abc import Iterator

import pytest

from jobyard_postgres.throwaway import FAST, Server


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for all tests here that are not about durability."""
    with Server(settings=FAST) as server:
        yield server


@pytest.fixture(scope="session")
def database(server: Server) -> str:
    """The URL of a database that tests share, each in a namespace of its own."""
    return server.create_database("shared")
