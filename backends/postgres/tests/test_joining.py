"""Callers' transactions on PostgreSQL: each kind of connection, and what cannot be joined."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from jobyard import QueueService
from jobyard.errors import ConfigError, Unsupported
from jobyard.job import Group


@pytest.fixture
async def service(database: str) -> AsyncIterator[QueueService]:
    async with QueueService(database, namespace=f"j_{secrets.token_hex(6)}") as service:
        yield service


@pytest.fixture
def table(database: str) -> str:
    name = f"orders_{secrets.token_hex(6)}"
    with psycopg.connect(database) as connection:
        connection.execute(f"CREATE TABLE {name} (id INTEGER)")
    return name


class Undone(Exception):
    pass


def engine_url(database: str) -> str:
    return database.replace("postgresql://", "postgresql+psycopg://", 1)


async def by_async_connection(
    database: str, table: str, service: QueueService, *, fails: bool
) -> str:
    connection = await psycopg.AsyncConnection.connect(database, row_factory=dict_row)
    async with connection:
        await connection.execute(f"INSERT INTO {table} VALUES (1)")
        job = await service.add_job("q", "n", within=connection)
        if fails:
            raise Undone
    return job.id


async def by_block(database: str, table: str, service: QueueService, *, fails: bool) -> str:
    connection = await psycopg.AsyncConnection.connect(database, autocommit=True)
    async with connection, connection.transaction():
        job = await service.add_job("q", "n", within=connection)
        await connection.execute(f"INSERT INTO {table} VALUES (1)")
        if fails:
            raise Undone
    return job.id


async def by_connection(database: str, table: str, service: QueueService, *, fails: bool) -> str:
    with psycopg.connect(database) as connection:
        job = await service.add_job("q", "n", within=connection)
        connection.execute(f"INSERT INTO {table} VALUES (1)")
        if fails:
            raise Undone
    return job.id


async def by_session(database: str, table: str, service: QueueService, *, fails: bool) -> str:
    engine = create_engine(engine_url(database), poolclass=NullPool)
    with Session(engine) as session, session.begin():
        session.execute(text(f"INSERT INTO {table} VALUES (1)"))
        job = await service.add_job("q", "n", within=session)
        if fails:
            raise Undone
    return job.id


async def by_async_session(database: str, table: str, service: QueueService, *, fails: bool) -> str:
    engine = create_async_engine(engine_url(database), poolclass=NullPool)
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(text(f"INSERT INTO {table} VALUES (1)"))
        job = await service.add_job("q", "n", within=session)
        if fails:
            raise Undone
    return job.id


WAYS = [by_async_connection, by_block, by_connection, by_session, by_async_session]


@pytest.mark.parametrize("way", WAYS)
async def test_k029_job_and_row_are_one(
    database: str, table: str, service: QueueService, way: Any
) -> None:
    with pytest.raises(Undone):
        await way(database, table, service, fails=True)
    assert await service.list_jobs() == []
    assert rows(database, table) == 0

    job_id = await way(database, table, service, fails=False)
    assert [job.id for job in await service.list_jobs("q")] == [job_id]
    assert rows(database, table) == 1


def rows(database: str, table: str) -> int:
    with psycopg.connect(database) as connection:
        found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert found is not None
    return int(found[0])


async def test_autocommit_without_a_transaction_is_refused(
    database: str, service: QueueService
) -> None:
    connection = await psycopg.AsyncConnection.connect(database, autocommit=True)
    async with connection:
        with pytest.raises(ConfigError, match="autocommit"):
            await service.add_job("q", "n", within=connection)
    assert await service.list_jobs() == []


async def test_an_error_leaves_the_transaction_usable(
    database: str, table: str, service: QueueService
) -> None:
    other = QueueService(database, namespace="not_prepared", migrate="off")
    connection = await psycopg.AsyncConnection.connect(database)
    async with other, connection:
        with pytest.raises(ConfigError):
            await other.add_job("q", "n", within=connection)
        await connection.execute(f"INSERT INTO {table} VALUES (1)")
        await service.add_job("q", "n", within=connection)
    assert rows(database, table) == 1
    assert len(await service.list_jobs("q")) == 1


async def test_groups_need_to_see_what_others_commit(database: str, service: QueueService) -> None:
    connection = await psycopg.AsyncConnection.connect(database)
    async with connection:
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        with pytest.raises(Unsupported, match="read committed"):
            await service.add_job("q", "n", within=connection, group=Group(key="g"))
        await service.add_job("q", "n", within=connection)
    assert len(await service.list_jobs("q")) == 1


async def test_workers_are_told_at_the_commit(database: str, service: QueueService) -> None:
    ran: list[object] = []

    @service.handler("q", "n")
    async def note(job: Any) -> None:
        ran.append(job.data)
        await worker_stop()

    worker = service.worker(poll_interval=600)

    async def worker_stop() -> None:
        worker.begin_stop()

    running = asyncio.create_task(worker.run())
    while not await service.list_workers():
        await asyncio.sleep(0.01)
    connection = await psycopg.AsyncConnection.connect(database)
    async with connection:
        await service.add_job("q", "n", 7, within=connection)
    async with asyncio.timeout(100):
        await running
    assert ran == [7]


@pytest.mark.parametrize("wrong", [object(), "postgresql://localhost", 5])
async def test_what_is_no_connection_is_refused(service: QueueService, wrong: object) -> None:
    with pytest.raises(Unsupported, match="within is a psycopg connection"):
        await service.add_job("q", "n", within=wrong)
