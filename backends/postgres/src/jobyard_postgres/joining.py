"""Adding within a transaction of the caller's: the same step, on the caller's connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.pq import TransactionStatus

from jobyard.errors import ConfigError, Unsupported
from jobyard_postgres.arrays import register
from jobyard_postgres.trouble import REPEATABLE, TRIES, translating
from jobyard_sql.callers import driver_connection

__all__ = ["Joined", "join"]

Run = Callable[[bytes, Sequence[Any]], Awaitable[list[Any]]]


class Joined:
    """A caller's transaction, as a step needs it.

    Each step stands behind a savepoint, so that one that is refused leaves the transaction as it
    was, and one that others undo is begun again.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    async def call_one(self, text: bytes, arguments: Sequence[object]) -> Any:
        """Run a step that answers with one row."""
        for tries_left in range(TRIES - 1, -1, -1):
            await self._run(b"SAVEPOINT jobyard_step", ())
            try:
                (row,) = await self._run(text, arguments)
            except psycopg.Error as error:
                await self._run(b"ROLLBACK TO SAVEPOINT jobyard_step", ())
                if error.sqlstate not in REPEATABLE or not tries_left:
                    with translating():
                        raise
            else:
                await self._run(b"RELEASE SAVEPOINT jobyard_step", ())
                return row
        raise AssertionError

    async def check_isolation(self) -> None:
        """Refuse a transaction that does not see what others commit while a step waits for them."""
        ((level,),) = await self._run(b"SELECT current_setting('transaction_isolation')", ())
        if level != "read committed":
            raise Unsupported(
                f"jobs with a group, a rate, a dedup key or parents cannot be added within a "
                f"transaction that is {level}: begin one that is read committed"
            )

    async def notify(self, channel: str, text: str) -> None:
        """Tell workers when the transaction commits."""
        await self._run(b"SELECT pg_notify(%s, %s)", (channel, text))


async def join(within: object) -> Joined:
    """Join a transaction of the caller's; raise `Unsupported` for what is none."""
    connection = await driver_connection(within)
    match connection:
        case AsyncConnection():
            _check(connection)
            return Joined(_waiting(connection))
        case Connection():
            _check(connection)
            return Joined(_blocking(connection))
        case _:
            raise Unsupported(
                "within is a psycopg connection, or a SQLAlchemy session or connection over "
                f"psycopg, not {type(connection).__module__}.{type(connection).__qualname__}"
            )


def _check(connection: AsyncConnection[Any] | Connection[Any]) -> None:
    status = connection.info.transaction_status
    if connection.autocommit and status is TransactionStatus.IDLE:
        raise ConfigError(
            "the connection is in autocommit mode and has no transaction to add within: enter "
            "connection.transaction() first"
        )


def _waiting(connection: AsyncConnection[Any]) -> Run:
    async def run(text: bytes, arguments: Sequence[Any]) -> list[Any]:
        async with connection.cursor(row_factory=psycopg.rows.tuple_row, binary=True) as cursor:
            register(cursor)
            await cursor.execute(text, arguments, prepare=False)
            return await cursor.fetchall() if cursor.description else []

    return run


def _blocking(connection: Connection[Any]) -> Run:
    async def run(text: bytes, arguments: Sequence[Any]) -> list[Any]:
        with connection.cursor(row_factory=psycopg.rows.tuple_row, binary=True) as cursor:
            register(cursor)
            cursor.execute(text, arguments, prepare=False)
            return cursor.fetchall() if cursor.description else []

    return run
