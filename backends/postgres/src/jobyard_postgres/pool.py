"""The connections of a handle: made when needed, kept for the next call, thrown away when broken.

A call that finds no server fails at once with the server's own words; a pool that connects in the
background could only say that it waited. A connection that the server closed while it was idle is
noticed by looking at its socket, so that a restart of the server fails no call but those in flight.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus

from jobyard.errors import BackendClosed
from jobyard_postgres.arrays import register

Connect = Callable[[], Awaitable[AsyncConnection]]


class Lender(Protocol):
    """A pool as `psycopg_pool.AsyncConnectionPool` is."""

    def connection(self) -> AbstractAsyncContextManager[AsyncConnection[Any]]:
        """Lend a connection; what was begun on it is committed at the end."""
        ...


class GivenPool:
    """A pool of the caller's, which is not closed here."""

    def __init__(self, lender: Lender) -> None:
        self._lender = lender
        self.closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection; what was begun on it is committed before this ends."""
        if self.closed:
            raise BackendClosed
        async with self._lender.connection() as connection:
            register(connection)
            yield connection

    async def close(self) -> None:
        """Lend no more."""
        self.closed = True


class Pool:
    """At most `size` connections; callers beyond that wait for one."""

    def __init__(self, connect: Connect, size: int) -> None:
        self._connect = connect
        self._room = asyncio.Semaphore(size)
        self._idle: list[AsyncConnection] = []
        self._used: set[AsyncConnection] = set()
        self.closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection, in autocommit mode and in no transaction."""
        async with self._room:
            if self.closed:
                raise BackendClosed
            connection = await self._take()
            if connection is None:
                connection = await self._connect()
            self._used.add(connection)
            try:
                yield connection
            finally:
                self._used.discard(connection)
                await self._give_back(connection)

    async def close(self) -> None:
        """Close every connection; those lent out end the calls that use them."""
        self.closed = True
        while self._idle:
            await self._idle.pop().close()
        for connection in tuple(self._used):
            await connection.close()

    async def _give_back(self, connection: AsyncConnection) -> None:
        if self.closed or not _is_fit(connection):
            await connection.close()
        else:
            self._idle.append(connection)

    async def _take(self) -> AsyncConnection | None:
        """Take the connection used last that the server has not closed."""
        while self._idle:
            connection = self._idle.pop()
            if not _has_word(connection):
                return connection
            await connection.close()
        return None


def _is_fit(connection: AsyncConnection) -> bool:
    if connection.closed:
        return False
    return connection.info.transaction_status is TransactionStatus.IDLE


def _has_word(connection: AsyncConnection) -> bool:
    """Tell whether the server said something unasked: as a rule that it ends the connection."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
