"""The contract, on real files."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from jobyard.backend import Backend
from jobyard.clock import Clock
from jobyard.plugins import load_plugins, open_backend
from jobyard_conformance.harness import Harness, UrlHarness
from jobyard_conformance.suite import ConformanceSuite

PLUGINS = load_plugins()


class SqliteHarness(UrlHarness):
    """A file of its own for each test."""

    def __init__(self, folder: Path) -> None:
        missing = f"sqlite:///{folder}/missing/jobs.db"
        super().__init__(f"sqlite:///{folder}/jobs.db", unreachable=missing)
        self._file = folder / "jobs.db"
        self._lock: sqlite3.Connection | None = None

    def make(self, *, clock: Clock | None = None, namespace: str | None = None) -> Backend:
        """Give a handle that gives up in time for the tests which keep the lock from it."""
        url = self.address().partition("?")[0]
        return open_backend(
            url, namespace=namespace or self.namespace, clock=clock, plugins=PLUGINS
        )

    def address(self) -> str:
        """Name the file so that several processes wait for each other on a disk that is slow."""
        return f"{super().address()}?busy_timeout=120"

    async def make_newer(self) -> bool:
        connection = sqlite3.connect(self._file)
        connection.execute(f"UPDATE {self.namespace}_meta SET value = '99' WHERE name = 'version'")
        connection.commit()
        connection.close()
        return True

    async def cut(self) -> bool:
        """Hold the lock that writers need, until they give up."""
        self._lock = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        await asyncio.to_thread(self._lock.execute, "BEGIN IMMEDIATE")
        return True

    async def heal(self) -> bool:
        assert self._lock is not None
        self._lock.close()
        return True

    async def wipe(self, namespace: str) -> None:
        """Leave the file to the folder's own end."""


class TestSqlite(ConformanceSuite):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return SqliteHarness(tmp_path)
