"""Transactions of callers: the driver's connection behind what SQLAlchemy gives."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

from sqlalchemy import Connection

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session

__all__ = ["driver_connection"]


async def driver_connection(within: object) -> object:
    """Give the driver's connection of a session or connection; anything else as it is.

    Nothing is waited for where `within` blocks, so that a caller without an event loop may drive
    this to its end.
    """
    if isinstance(within, Connection):
        return _of_blocking(within)
    if _is_session(within):
        return _of_blocking(within.connection())
    if _is_async_connection(within):
        return await _of_async(within)
    if _is_async_session(within):
        return await _of_async(await within.connection())
    return within


async def _of_async(connection: AsyncConnection) -> Any:
    if not connection.in_transaction():
        _ = await connection.begin()
    return (await connection.get_raw_connection()).driver_connection


def _of_blocking(connection: Connection) -> Any:
    if not connection.in_transaction():
        connection.begin()
    return connection.connection.driver_connection


# Whoever has a session has imported its module: it is not imported here for those who have none.


def _is_session(within: object) -> TypeGuard[Session]:
    return _is_one_of(within, "sqlalchemy.orm", "Session", "scoped_session")


def _is_async_connection(within: object) -> TypeGuard[AsyncConnection]:
    return _is_one_of(within, "sqlalchemy.ext.asyncio", "AsyncConnection")


def _is_async_session(within: object) -> TypeGuard[AsyncSession]:
    return _is_one_of(within, "sqlalchemy.ext.asyncio", "AsyncSession", "async_scoped_session")


def _is_one_of(within: object, module: str, *kinds: str) -> bool:
    imported = sys.modules.get(module)
    return imported is not None and isinstance(within, tuple(getattr(imported, k) for k in kinds))
