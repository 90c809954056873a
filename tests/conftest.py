"""What all tests here share: the event loop, and the stores that a test runs on, by URL alone."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis
from tests.patience import PATIENCE, patient

from jobyard import QueueService
from jobyard.announce import Event
from jobyard_postgres.throwaway import FAST, Server
from jobyard_redis.throwaway import ThrowawayServer


def on_postgres(request: pytest.FixtureRequest, folder: Path) -> str:
    """Give a schema of its own in the database that a variable names, or the session's has."""
    url = os.environ.get("JOBYARD_TEST_POSTGRES_URL") or request.getfixturevalue("database")
    return patient(f"{url}{'&' if '?' in url else '?'}schema=r_{secrets.token_hex(6)}")


def on_redis(request: pytest.FixtureRequest, folder: Path) -> str:
    """Give an empty database of the server that a variable names, or of the session's."""
    named = os.environ.get("JOBYARD_TEST_REDIS_URL")
    if named:
        url = urlsplit(named)._replace(path=f"/{empty_database(named)}").geturl()
        request.addfinalizer(lambda: flush(url))
        return patient(url)
    server: ThrowawayServer = request.getfixturevalue("valkey")
    server.clear()
    return patient(server.url)


def empty_database(url: str) -> int:
    """Find a database of a server without keys: what others keep there is not touched."""
    with Redis.from_url(url) as client:
        databases = int(client.config_get("databases")["databases"])
        taken = {int(name.removeprefix("db")) for name in client.info("keyspace")}
    return next(number for number in range(databases) if number not in taken)


def flush(url: str) -> None:
    with Redis.from_url(url) as client:
        client.flushdb()


STORES: dict[str, Callable[[pytest.FixtureRequest, Path], str]] = {
    "memory": lambda request, folder: f"memory://{folder.name}",
    # No test is about a power cut, and a disk may take seconds for what is to outlive one.
    "sqlite": lambda request, folder: (
        f"sqlite:///{folder}/jobs.db?durability=fast&busy_timeout={PATIENCE:g}"
    ),
    "postgres": on_postgres,
    "redis": on_redis,
}

SHARED = ("sqlite", "postgres", "redis")
"""The stores that several processes may open: rows about processes need one of them."""


@pytest.fixture
def anyio_backend() -> str:
    """The core runs on asyncio, so its tests do."""
    return "asyncio"


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    with Server(settings=FAST) as server:
        yield server.create_database("rows")


@pytest.fixture(scope="session")
def valkey() -> Iterator[ThrowawayServer]:
    with ThrowawayServer() as server:
        yield server


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return STORES[request.param](request, tmp_path)


@pytest.fixture(params=SHARED)
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return STORES[request.param](request, tmp_path)


MakeService = Callable[..., Awaitable[QueueService]]


@pytest.fixture
async def make(url: str) -> AsyncIterator[MakeService]:
    """Open as many services on the store as a test needs."""
    async with AsyncExitStack() as stack:

        async def open_one(**options: object) -> QueueService:
            service = QueueService(url, **options)  # type: ignore[arg-type]
            return await stack.enter_async_context(service)

        yield open_one


@pytest.fixture
async def service(make: MakeService) -> QueueService:
    return await make()


class Recorder:
    """Keeps the events it is told, and waits for those that should come."""

    def __init__(self, service: QueueService, name: str = "*") -> None:
        self.events: list[Event] = []
        self._more = asyncio.Event()
        service.on(name, self._take)

    def _take(self, event: Event) -> None:
        self.events.append(event)
        self._more.set()

    def names(self, job_id: str | None = None) -> list[str]:
        return [e.name for e in self.events if job_id is None or e.job_id == job_id]

    async def until(self, name: str, count: int = 1) -> list[Event]:
        async with asyncio.timeout(PATIENCE):
            while True:
                found = [event for event in self.events if event.name == name]
                if len(found) >= count:
                    return found
                self._more.clear()
                await self._more.wait()


@pytest.fixture
def record() -> Callable[..., Recorder]:
    return Recorder


@pytest.fixture
def eventually() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    """Wait for something that other tasks or processes bring about."""

    async def wait(condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not await condition():
                await asyncio.sleep(0.01)

    return wait
