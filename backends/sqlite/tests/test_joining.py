"""Callers' transactions on SQLite: each kind of connection, and what cannot be joined."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from jobyard import JobNotFound, QueueService
from jobyard.errors import ConfigError, StoreBusy, Unsupported


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
async def service(path: Path) -> AsyncIterator[QueueService]:
    async with QueueService(f"sqlite:///{path}?busy_timeout=0.2") as service:
        yield service


class Undone(Exception):
    pass


async def by_sqlite3(path: Path, service: QueueService, *, fails: bool) -> str:
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row  # of the caller's own choice
    try:
        with connection:
            connection.execute("INSERT INTO orders VALUES (1)")
            job = await service.add_job("q", "n", within=connection)
            if fails:
                raise Undone
    finally:
        connection.close()
    return job.id


async def by_sqlite3_alone(path: Path, service: QueueService, *, fails: bool) -> str:
    """The job is the first thing written: the driver has not begun the transaction yet."""
    connection = sqlite3.connect(path)
    try:
        with connection:
            job = await service.add_job("q", "n", within=connection)
            connection.execute("INSERT INTO orders VALUES (1)")
            if fails:
                raise Undone
    finally:
        connection.close()
    return job.id


async def by_aiosqlite(path: Path, service: QueueService, *, fails: bool) -> str:
    async with aiosqlite.connect(path) as connection:
        await connection.execute("INSERT INTO orders VALUES (1)")
        job = await service.add_job("q", "n", within=connection)
        if fails:
            raise Undone
        await connection.commit()
    return job.id


async def by_session(path: Path, service: QueueService, *, fails: bool) -> str:
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with Session(engine) as session, session.begin():
        session.execute(text("INSERT INTO orders VALUES (1)"))
        job = await service.add_job("q", "n", within=session)
        if fails:
            raise Undone
    return job.id


async def by_connection(path: Path, service: QueueService, *, fails: bool) -> str:
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.begin() as connection:
        job = await service.add_job("q", "n", within=connection)
        connection.execute(text("INSERT INTO orders VALUES (1)"))
        if fails:
            raise Undone
    return job.id


async def by_async_session(path: Path, service: QueueService, *, fails: bool) -> str:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", poolclass=NullPool)
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(text("INSERT INTO orders VALUES (1)"))
        job = await service.add_job("q", "n", within=session)
        if fails:
            raise Undone
    return job.id


WAYS = [
    by_sqlite3,
    by_sqlite3_alone,
    by_aiosqlite,
    by_session,
    by_connection,
    by_async_session,
]


@pytest.mark.parametrize("way", WAYS)
async def test_k029_job_and_row_are_one(path: Path, service: QueueService, way: Any) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
    connection.close()

    with pytest.raises(Undone):
        await way(path, service, fails=True)
    assert await service.list_jobs() == []
    assert rows(path) == 0

    job_id = await way(path, service, fails=False)
    assert [job.id for job in await service.list_jobs("q")] == [job_id]
    assert rows(path) == 1
    after = await service.add_job("q", "n")
    assert [job.id for job in await service.list_jobs("q")] == [job_id, after.id]


def rows(path: Path) -> int:
    connection = sqlite3.connect(path)
    ((count,),) = connection.execute("SELECT count(*) FROM orders")
    connection.close()
    return int(count)


async def test_a_connection_to_another_database_is_refused(
    service: QueueService, tmp_path: Path
) -> None:
    for place in (tmp_path / "other.db", ":memory:"):
        connection = sqlite3.connect(place)
        connection.execute("CREATE TABLE t (x)")
        with pytest.raises(ConfigError, match="one transaction is in one database"):
            await service.add_job("q", "n", within=connection)
        connection.close()


async def test_a_connection_that_begins_nothing_is_refused(
    service: QueueService, path: Path
) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(ConfigError, match="BEGIN IMMEDIATE"):
        await service.add_job("q", "n", within=connection)
    connection.execute("BEGIN IMMEDIATE")
    job = await service.add_job("q", "n", within=connection)
    connection.execute("COMMIT")
    connection.close()
    assert (await job.refresh()).id == job.id


async def test_a_writer_that_came_before_is_told_as_busy(service: QueueService, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    mine = sqlite3.connect(path, timeout=0.05)
    with pytest.raises(StoreBusy):
        await service.add_job("q", "n", within=mine)
    other.execute("ROLLBACK")
    job = await service.add_job("q", "n", within=mine)
    mine.rollback()
    for connection in (other, mine):
        connection.close()
    with pytest.raises(JobNotFound):
        await job.refresh()


@pytest.mark.parametrize("wrong", [object(), "jobs.db", 5])
async def test_what_is_no_connection_is_refused(service: QueueService, wrong: object) -> None:
    with pytest.raises(Unsupported, match="within is a sqlite3"):
        await service.add_job("q", "n", within=wrong)
