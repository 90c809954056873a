"""The database behind a handle: a connection that writes, one that reads, a thread for each."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from jobyard.clock import Clock
from jobyard.errors import BackendClosed, BackendError, ConfigError, StoreBusy
from jobyard.home import Home
from jobyard_sqlite.bell import Bell
from jobyard_sqlite.connection import (
    check_folder,
    code_of,
    connect,
    cursor_of,
    keep_log,
    make_private,
    refuse_links,
    settle_in,
    settle_in_reader,
    translated,
    translating,
)
from jobyard_sqlite.identity import Identity
from jobyard_sqlite.lanes import Lanes
from jobyard_sqlite.looking import Look
from jobyard_sqlite.migrate import version
from jobyard_sqlite.place import SqliteOptions
from jobyard_sqlite.statements import Statements
from jobyard_sqlite.thread import Thread
from jobyard_sqlite.transaction import Transaction

T = TypeVar("T")

NAP: Final = 0.004
"""For how long, at most, a writer sleeps before it asks for the lock again."""


def _roll_back(cursor: sqlite3.Cursor) -> None:
    if cursor.connection.in_transaction:
        cursor.execute("ROLLBACK")


def host_now() -> int:
    """Tell the host's time in milliseconds."""
    return time.time_ns() // 1_000_000


class Store:
    """An open database.

    A write is one function, run in one hop to the writing thread, with its whole transaction
    inside: nothing is awaited while the lock is held. Reads have a connection of their own, so
    that a long one does not hold the writes up; where there is only one connection they share it.
    """

    def __init__(
        self,
        *,
        path: Path | None,
        namespace: str,
        options: SqliteOptions,
        clock: Clock | None,
        connection: sqlite3.Connection | None = None,
    ) -> None:
        self.path = path
        self.namespace = namespace
        self.options = options
        self.clock = clock
        self.bell = Bell(path, namespace, enabled=options.wakeup == "auto")
        self._given = connection
        self._follows = options.symlinks == "follow"
        self._identity = (
            None if path is None or connection is not None else Identity(path, follow=self._follows)
        )
        self._statements = Statements.of(namespace)
        self._lanes = Lanes()
        self._home = Home()
        self._loop = asyncio.get_running_loop()
        self._threads: list[Thread] = []
        self._connections: list[sqlite3.Connection] = []
        self._write_cursor: sqlite3.Cursor | None = None
        self._read_cursor: sqlite3.Cursor | None = None

    # -- life

    async def open(self) -> None:
        """Connect, if there is a database; `create` makes one where there is none."""
        self._writer = self._reader = self._thread("writer")
        try:
            if self._given is None and self.path is not None:
                check_folder(self.path)
                self._check_links()
                self._reader = self._thread("reader")
            if self.path is None or self.path.exists():
                await self._writer.call(self._open_writer)
                await self._reader.call(self._open_reader)
        except BaseException:
            await self.close()
            raise

    def _check_links(self) -> None:
        if self.path is not None and not self._follows:
            refuse_links(self.path)

    def _thread(self, role: str) -> Thread:
        thread = Thread(f"jobyard-sqlite-{role}", self._loop)
        self._threads.append(thread)
        return thread

    async def create(self) -> None:
        """Make the file if there is none, and let it have a write-ahead log."""
        self.check()
        await self._writer.call(self._create)

    def _create(self) -> None:
        with translating():
            if self.path is not None:
                self._check_links()
                make_private(self.path)
            connection = self._open_writer().connection
            if self._given is None:
                self._patiently(lambda: keep_log(connection))

    def _open_writer(self) -> sqlite3.Cursor:
        """Return what writes, connected now if there was no file before."""
        if self._write_cursor is None:
            self._write_cursor = self._connect(self._settle_in, self._given)
            if self._identity is not None:
                self._identity.check()
        return self._write_cursor

    def _settle_in(self, connection: sqlite3.Connection) -> None:
        if self._given is None:
            settle_in(connection, self.options)
            if version(connection.cursor(), self.namespace):
                keep_log(connection)

    def _open_reader(self) -> sqlite3.Cursor:
        """Return what reads, connected now if there was no file before."""
        if self._read_cursor is None:
            if self._reader is self._writer:
                self._read_cursor = self._open_writer()
            else:
                self._read_cursor = self._connect(settle_in_reader)
        return self._read_cursor

    def _connect(
        self,
        settle: Callable[[sqlite3.Connection], None],
        given: sqlite3.Connection | None = None,
    ) -> sqlite3.Cursor:
        with translating():
            connection = given or connect(self.path)
            try:
                self._check_links()  # once more: what was opened is what was looked at
                self._patiently(lambda: settle(connection))
            except BaseException:
                if given is None:
                    connection.close()
                raise
            if given is None:
                self._connections.append(connection)
            return cursor_of(connection)

    async def close(self) -> None:
        """Let go of everything but a connection that was given."""
        threads, self._threads = self._threads, []
        try:
            for thread in threads:
                await thread.finish()
        finally:
            for thread in reversed(threads):
                thread.stop()
            self._write_cursor = self._read_cursor = None
            connections, self._connections = self._connections, []
            for connection in reversed(connections):
                connection.close()
            self.bell.close()

    # -- calls

    def check(self) -> None:
        """Raise if this is not the process or the event loop that opened the handle."""
        self._home.check()
        if not self._threads:
            raise BackendClosed

    async def write(self, work: Callable[[Transaction], T], *, about: str | None = None) -> T:
        """Run a function as one write transaction, most of which is about one queue."""
        self.check()
        return await self._writer.call(lambda: self._write(work, about))

    async def rehearse(self, work: Callable[[Transaction], T]) -> T:
        """Run a function as a write transaction, and take back what it did."""
        self.check()
        return await self._writer.call(lambda: self._rehearse(work))

    async def read(self, work: Callable[[Look], T]) -> T:
        """Run a function that looks at one moment of the store."""
        self.check()
        return await self._reader.call(lambda: self._read(work))

    async def alter(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        """Run a function on the bare connection, in a write transaction."""
        self.check()
        return await self._writer.call(lambda: self._alter(work))

    async def inquire(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        """Run a function on the bare connection that reads."""
        self.check()
        return await self._reader.call(lambda: self._inquire(work))

    def now(self, look: Look) -> int:
        """Tell the store's time."""
        if self.clock is not None:
            return self.clock.now_ms()
        ((stored, *_),) = look.rows(self._statements.moves.counter)
        return max(int(stored), host_now())

    # -- in the threads

    def _write(self, work: Callable[[Transaction], T], about: str | None) -> T:
        with translating():
            cursor = self._begin()
            try:
                transaction = self._transaction(cursor, self._lanes, about)
                answer = work(transaction)
                transaction.finish()
                cursor.execute("COMMIT")
            except BaseException:
                self._lanes.forget()
                _roll_back(cursor)
                raise
        woken = [delta.name for delta in transaction.deltas.values() if delta.woken]
        if woken or transaction.events:
            self.bell.ring(self._loop, woken, events=bool(transaction.events))
        return answer

    def _rehearse(self, work: Callable[[Transaction], T]) -> T:
        with translating():
            cursor = self._begin()
            try:
                return work(self._transaction(cursor, self._lanes))
            finally:
                _roll_back(cursor)

    def _alter(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        with translating():
            cursor = self._begin()
            try:
                answer = work(cursor)
                cursor.execute("COMMIT")
            except BaseException:
                _roll_back(cursor)
                raise
            return answer

    def _read(self, work: Callable[[Look], T]) -> T:
        def look(cursor: sqlite3.Cursor) -> T:
            return work(
                Look(cursor, looking=self._statements.looking, signals=self._statements.signals)
            )

        return self._inquire(look)

    def _inquire(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        cursor = self._read_cursor or self._open_reader()

        def attempt() -> T:
            cursor.execute("BEGIN")
            try:
                return work(cursor)
            finally:
                _roll_back(cursor)

        with translating():
            return self._patiently(attempt)

    def joined(self, cursor: sqlite3.Cursor) -> Transaction:
        """Work within a transaction that somebody else commits, or does not.

        What it makes up is not remembered: it may never have been.
        """
        return self._transaction(cursor, Lanes())

    @property
    def lock(self) -> str:
        """The statement that takes the lock for writing and changes nothing."""
        return self._statements.moves.lock

    def _transaction(
        self, cursor: sqlite3.Cursor, lanes: Lanes, about: str | None = None
    ) -> Transaction:
        clock = self.clock
        return Transaction(
            cursor,
            self._statements,
            lanes=lanes,
            clock_now=None if clock is None else clock.now_ms(),
            host_now=host_now(),
            about=about,
        )

    def _begin(self) -> sqlite3.Cursor:
        cursor = self._write_cursor or self._open_writer()
        if self._given is not None:
            self._check_given(self._given)
        if self._identity is not None:
            self._identity.check()
        try:
            cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not isinstance(translated(error), StoreBusy):
                raise
            self._patiently(lambda: cursor.execute("BEGIN IMMEDIATE"))
        return cursor

    def _check_given(self, connection: sqlite3.Connection) -> None:
        if getattr(connection, "autocommit", None) is False:
            raise ConfigError(
                "the connection must not have autocommit=False: the backend begins and commits "
                "transactions of its own on it"
            )
        if connection.in_transaction:
            raise BackendError(
                "the connection has a transaction open; commit it before the backend is used"
            )

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Try again while others hold the lock, up to the deadline.

        SQLite's own waiting sleeps ever longer and is not fair: it is kept short, and this
        sleeps a little, at random, so that a writer gets its turn soon after the lock is free.
        """
        deadline = time.monotonic() + self.options.busy_timeout
        while True:
            try:
                return attempt()
            except sqlite3.OperationalError as error:
                if code_of(error) not in BUSY or time.monotonic() >= deadline:
                    raise
            time.sleep(random.uniform(0, NAP))


BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
