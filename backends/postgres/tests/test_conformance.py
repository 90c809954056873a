"""The contract, on a real server."""

from __future__ import annotations

import asyncio
import os
import signal

import psycopg
import pytest
from backends.postgres.tests.chaos import Control
from psycopg import sql

from jobyard.url import BackendUrl
from jobyard_conformance.harness import Harness, ServerControl, UrlHarness
from jobyard_conformance.suite import ConformanceSuite
from jobyard_postgres.place import place_of
from jobyard_postgres.throwaway import Server


class DatabaseHarness(UrlHarness):
    """A namespace of its own for each test, in one database."""

    def __init__(self, url: str) -> None:
        super().__init__(url, unreachable="postgresql://jobyard:secret@127.0.0.1:1/jobs")

    async def make_newer(self) -> bool:
        place = place_of(BackendUrl.parse(self.address()))
        table = sql.Identifier(place.options.schema, f"{self.namespace}_meta")
        with psycopg.connect(**place.main) as connection:
            connection.execute(
                sql.SQL("UPDATE {} SET value = '99' WHERE name = 'version'").format(table)
            )
        return True

    async def wipe(self, namespace: str) -> None:
        """Leave the tables to the database's own end."""


class ServerHarness(DatabaseHarness):
    """The same on a server of the tests' own, which may be harmed."""

    def __init__(self, url: str, server: Server) -> None:
        super().__init__(url)
        self._server = server

    def control(self) -> ServerControl:
        return Control(self._server)

    async def restart(self) -> bool:
        await asyncio.to_thread(self._server.restart, how=signal.SIGQUIT)
        return True

    def server(self) -> str:
        return str(self._server.socket_folder / ".s.PGSQL.5432")

    def through(self, port: int) -> str:
        url = BackendUrl.parse(self.address())
        return f"postgresql://{url.username}@127.0.0.1:{port}{url.path}"

    async def cut(self) -> bool:
        await asyncio.to_thread(self._server.stop, how=signal.SIGQUIT)
        return True

    async def heal(self) -> bool:
        await asyncio.to_thread(self._server.start)
        return True


class TestPostgres(ConformanceSuite):
    @pytest.fixture
    def harness(self, request: pytest.FixtureRequest) -> Harness:
        url = os.environ.get("JOBYARD_TEST_POSTGRES_URL")
        if url is not None:
            return DatabaseHarness(url)
        return ServerHarness(request.getfixturevalue("database"), request.getfixturevalue("server"))
