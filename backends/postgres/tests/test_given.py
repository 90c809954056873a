"""A pool of the caller's: K-005 on PostgreSQL."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from jobyard import Group, QueueService
from jobyard_postgres.backend import PostgresBackend


@pytest.mark.parametrize("autocommit", [False, True])
async def test_k005_a_service_works_on_a_pool_of_the_callers(
    database: str, *, autocommit: bool
) -> None:
    pool = AsyncConnectionPool(
        database, min_size=1, max_size=3, open=False, kwargs={"autocommit": autocommit}
    )
    async with pool:
        schema = f"g_{secrets.token_hex(6)}"
        ran: list[Any] = []
        async with QueueService(PostgresBackend.on(pool, schema=schema)) as service:

            @service.handler("q", "n")
            async def n(job: Any) -> None:
                ran.append(job.data)

            await service.add_jobs("q", [("n", number) for number in range(20)])
            await asyncio.gather(
                *(service.add_job("q", "n", 20 + n, group=Group(key="g")) for n in range(5))
            )
            async with service.transaction() as within:
                await service.add_job("q", "n", 25, within=within)
            await service.run_until_idle()
        assert sorted(ran) == list(range(26))
        async with pool.connection() as connection:  # open as before, with nothing left on it
            cursor = await connection.execute("SELECT 1")
            assert await cursor.fetchone() == (1,)
        other = QueueService(f"{database}{'&' if '?' in database else '?'}schema={schema}")
        async with other:
            assert (await other.get_stats("q")).completed == 26
