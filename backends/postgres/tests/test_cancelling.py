"""Cancellations that the driver swallows, as it may before Python 3.12, are heeded all the same."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest
from tests.patience import PATIENCE

from jobyard.url import BackendUrl
from jobyard_postgres.place import place_of
from jobyard_postgres.store import Store

pytestmark = pytest.mark.anyio


class Swallowing:
    """The driver's way to connect, which answers in spite of the first cancellation."""

    def __init__(self) -> None:
        self.connect = psycopg.AsyncConnection.connect
        self.begun = asyncio.Event()
        self.made: list[psycopg.AsyncConnection] = []

    async def __call__(self, **parameters: Any) -> psycopg.AsyncConnection:
        self.begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        connection = await self.connect(**parameters)
        self.made.append(connection)
        return connection


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Swallowing:
    driver = Swallowing()
    monkeypatch.setattr(psycopg.AsyncConnection, "connect", driver)
    return driver


async def listen(store: Store) -> None:
    async with store.bell.listen(print, (), events=False):
        await asyncio.Event().wait()


async def ask(store: Store) -> None:
    await store.rows("SELECT 1")


@pytest.mark.parametrize("act", [listen, ask])
async def test_one_who_waits_for_a_connection_is_cancelled(
    database: str, driver: Swallowing, act: Callable[[Store], Coroutine[Any, Any, None]]
) -> None:
    store = Store(place_of(BackendUrl.parse(database)), "cancelling", None, None)
    task = asyncio.create_task(act(store))
    async with asyncio.timeout(PATIENCE):
        await driver.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert task.cancelled()
    assert [connection.closed for connection in driver.made] == [True]
    await store.close()
