"""Adding within a transaction of the caller's: the same work, on the caller's connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from jobyard.errors import ConfigError, Unsupported
from jobyard_sql.callers import driver_connection
from jobyard_sqlite.connection import cursor_of, translating
from jobyard_sqlite.store import Store
from jobyard_sqlite.transaction import Transaction

__all__ = ["write_within"]

T = TypeVar("T")
Work = Callable[[Transaction], T]


async def write_within(store: Store, within: object, work: Work[T]) -> T:
    """Run a function within a transaction of the caller's.

    On a connection that blocks it is done here and now, in the caller's thread, which may be the
    only one that the connection can be used in. Raises `Unsupported` for what is no connection,
    `ConfigError` for one to another database or without a transaction.
    """
    connection = await driver_connection(within)
    if isinstance(connection, sqlite3.Connection):
        return _write(store, connection, work)
    run = getattr(connection, "_execute", None)
    bare = getattr(connection, "_conn", None)
    if run is not None and isinstance(bare, sqlite3.Connection):
        # A connection of aiosqlite's, which has no other way into the thread that it lives in.
        answer: T = await run(_write, store, bare, work)
        return answer
    raise Unsupported(
        "within is a sqlite3 or aiosqlite connection, or a SQLAlchemy session or connection over "
        f"one, not {type(connection).__module__}.{type(connection).__qualname__}"
    )


def _write(store: Store, connection: sqlite3.Connection, work: Work[T]) -> T:
    with translating():
        cursor = cursor_of(connection)
        _check_database(store.path, cursor)
        _check_transaction(connection, cursor)
        cursor.execute("SAVEPOINT jobyard_add")
        try:
            # Takes the lock for writing before the first look: what is looked at stays true.
            cursor.execute(store.lock)
            transaction = store.joined(cursor)
            answer = work(transaction)
            transaction.finish()
        except BaseException:
            if connection.in_transaction:  # a full disk may have ended it
                cursor.execute("ROLLBACK TO SAVEPOINT jobyard_add")
                cursor.execute("RELEASE SAVEPOINT jobyard_add")
            raise
        cursor.execute("RELEASE SAVEPOINT jobyard_add")
        return answer


def _check_database(path: Path | None, cursor: sqlite3.Cursor) -> None:
    files: dict[str, str] = {name: file for _, name, file in cursor.execute("PRAGMA database_list")}
    main = files.get("main") or ""
    if path is None or not main or not Path(main).samefile(path):
        raise ConfigError(
            f"the connection is to {main or 'a database in memory'}, the jobs are in "
            f"{path or 'a database in memory'}: one transaction is in one database"
        )


def _check_transaction(connection: sqlite3.Connection, cursor: sqlite3.Cursor) -> None:
    """See that there is a transaction; begin one where the driver would at its first write."""
    if connection.in_transaction:
        return
    if _begins_by_itself(connection):
        cursor.execute("BEGIN IMMEDIATE")
        return
    raise ConfigError(
        "the connection has no transaction to add within, and begins none by itself: execute "
        "BEGIN IMMEDIATE first"
    )


def _begins_by_itself(connection: sqlite3.Connection) -> bool:
    legacy: Any = sqlite3.__dict__.get("LEGACY_TRANSACTION_CONTROL")
    if legacy is not None and connection.autocommit != legacy:  # type: ignore[attr-defined, unused-ignore]
        return not connection.autocommit  # type: ignore[attr-defined, unused-ignore]
    return connection.isolation_level is not None
