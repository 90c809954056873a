"""Wires: connections of a pool that a handle keeps at hand between its calls."""

from __future__ import annotations

from typing import Any

from hiredis import pack_command
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection

__all__ = ["Argument", "Wires"]

Argument = str | bytes | int


class Wires:
    """Says commands over connections of a pool.

    The driver asks its pool for a connection at each command, gives it back afterwards, and writes
    the command down in Python: three quarters of what a short call costs. Here a connection is
    asked for once and used until it breaks, unless the pool is somebody else's, who may need it.
    """

    def __init__(self, pool: ConnectionPool, *, keeps: bool) -> None:
        self._pool = pool
        self._keeps = keeps
        self._at_hand: list[AbstractConnection] = []

    async def say(self, *parts: Argument) -> Any:
        """Run one command; the answer is as the server sends it."""
        connection = await self._take()
        try:
            # Both break the connection when they are interrupted: no answer is left in it.
            await connection.send_packed_command(pack_command(parts))  # type: ignore[arg-type]
            return await connection.read_response()
        finally:
            await self._give_back(connection)

    async def drop(self) -> None:
        """Break the connections that nobody uses now."""
        while self._at_hand:
            await self._discard(self._at_hand.pop())
        await self._pool.disconnect(inuse_connections=False)

    async def _take(self) -> AbstractConnection:
        while self._at_hand:
            connection = self._at_hand.pop()
            # One with something to read has been closed by the server, or has lost its place.
            if connection.is_connected and not await connection.can_read():
                return connection
            await self._discard(connection)
        found: AbstractConnection
        found = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        return found

    async def _give_back(self, connection: AbstractConnection) -> None:
        if self._keeps and connection.is_connected:
            self._at_hand.append(connection)
        else:
            await self._pool.release(connection)

    async def _discard(self, connection: AbstractConnection) -> None:
        try:
            await connection.disconnect()
        finally:
            await self._pool.release(connection)
