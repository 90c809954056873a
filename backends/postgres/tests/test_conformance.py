"""The contract, on a real server."""

from __future__ import annotations

import pytest

from jobyard_conformance.harness import Harness, UrlHarness
from jobyard_conformance.suite import ConformanceSuite


class PostgresHarness(UrlHarness):
    """A namespace of its own for each test, in one database."""

    def __init__(self, url: str) -> None:
        super().__init__(url, unreachable="postgresql://jobyard:secret@127.0.0.1:1/jobs")

    async def wipe(self, namespace: str) -> None:
        """Leave the tables to the database's own end."""


class TestPostgres(ConformanceSuite):
    @pytest.fixture
    def harness(self, database: str) -> Harness:
        return PostgresHarness(database)
