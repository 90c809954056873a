"""Calls that the server keeps parsed: by which option, and what happens when it forgets them."""

from __future__ import annotations

import psycopg
import pytest

from jobyard import QueueService
from jobyard_postgres.backend import PostgresBackend
from jobyard_postgres.store import Store
from jobyard_postgres.throwaway import Server

pytestmark = pytest.mark.anyio

OFTEN = 8
"""How often a call is made until it is surely kept, if it may be."""


@pytest.fixture
def own(server: Server) -> str:
    """A database of this test's own, by one connection."""
    return f"{server.create_database()}&pool_size=1"


def store_of(service: QueueService) -> Store:
    backend = service.backend
    assert isinstance(backend, PostgresBackend)
    return backend._opened()


async def kept(service: QueueService) -> int:
    """Count the calls that the server keeps for the one connection."""
    ((count,),) = await store_of(service).rows("SELECT count(*) FROM pg_prepared_statements")
    return int(count)


async def do(service: QueueService, text: str) -> None:
    """Run something on the one connection so that the driver does not see what."""

    async def run(connection: psycopg.AsyncConnection) -> None:
        await connection.execute(f"DO $do$ BEGIN {text}; END $do$".encode())

    await store_of(service).work(run)


async def add_often(service: QueueService) -> None:
    for number in range(OFTEN):
        await service.add_job("q", "n", number)


@pytest.mark.parametrize(("option", "keeps"), [("", True), ("auto", True), ("off", False)])
async def test_calls_are_kept_parsed_unless_it_is_forbidden(
    own: str, option: str, *, keeps: bool
) -> None:
    async with QueueService(own + (f"&prepare={option}" if option else "")) as service:
        await add_often(service)
        assert (await kept(service) > 0) is keeps


class Elsewhere(psycopg.AsyncConnection):
    """A connection as through a pooler, which tells a number of its own for the server process."""

    @property
    def info(self) -> psycopg.ConnectionInfo:
        return Numbered(self.pgconn)


class Numbered(psycopg.ConnectionInfo):
    @property
    def backend_pid(self) -> int:
        return super().backend_pid + 1


@pytest.mark.parametrize(("option", "keeps"), [("auto", False), ("on", True)])
async def test_through_a_pooler_calls_are_kept_only_where_that_is_asked_for(
    own: str, option: str, monkeypatch: pytest.MonkeyPatch, *, keeps: bool
) -> None:
    monkeypatch.setattr("jobyard_postgres.store.AsyncConnection", Elsewhere)
    async with QueueService(f"{own}&prepare={option}") as service:
        await add_often(service)
        assert (await kept(service) > 0) is keeps


async def test_what_the_server_has_forgotten_is_asked_for_anew_and_done_once(own: str) -> None:
    async with QueueService(own) as service:
        service.handler("q", "n")(lambda job: job.data)
        await add_often(service)
        await do(service, "DEALLOCATE ALL")
        await add_often(service)
        assert await service.run_until_idle() == 2 * OFTEN
        assert await kept(service) == 0, "it was asked to keep calls once more"


async def test_a_function_that_changed_since_is_called_as_it_is_now(own: str) -> None:
    async with QueueService(own) as service:
        store = store_of(service)

        async def answers() -> list[object]:
            return await store.rows("SELECT * FROM of_a_newer_version()")

        await do(service, "CREATE FUNCTION of_a_newer_version() RETURNS INT RETURN 1")
        for _ in range(OFTEN):
            assert await answers() == [(1,)]
        await do(service, "DROP FUNCTION of_a_newer_version()")
        await do(service, "CREATE FUNCTION of_a_newer_version() RETURNS TEXT RETURN 'two'")
        assert await answers() == [("two",)]
