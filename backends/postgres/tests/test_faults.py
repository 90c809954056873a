"""A server that is restarted, crashes, ends connections or is out of reach, under load."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from backends.postgres.tests.enduring import PATIENCE, TOILER, all_done, endure, runs_of, toiler

from jobyard import QueueService
from jobyard_postgres.throwaway import Server


@pytest.fixture
def harmed() -> Iterator[Server]:
    """A durable server of this test's own."""
    with Server() as server:
        yield server


async def restart(server: Server) -> None:
    await asyncio.to_thread(server.restart)


async def crash(server: Server) -> None:
    await asyncio.to_thread(server.restart, how=signal.SIGQUIT)


async def end_connections(server: Server) -> None:
    def end() -> None:
        with server.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )

    await asyncio.to_thread(end)


async def kill_a_process(server: Server) -> None:
    """Kill a process of the server: it drops all connections and recovers."""

    def kill() -> None:
        with server.connect() as connection:
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            assert row is not None
            os.kill(row[0], signal.SIGKILL)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
                connection.execute("SELECT 1")

    await asyncio.to_thread(kill)


@pytest.mark.parametrize("harm", [restart, crash, end_connections, kill_a_process])
@pytest.mark.case("N01", "N02", "N04")
async def test_k155_workers_go_on_and_nothing_is_lost_or_runs_twice_for_no_reason(
    harmed: Server, tmp_path: Path, harm: Callable[[Server], Awaitable[None]]
) -> None:
    url = harmed.create_database("jobs")
    async with QueueService(url) as service:
        await endure(service, service, url, tmp_path / "runs", lambda _: harm(harmed))


async def test_what_was_done_for_a_killed_worker_runs_again_and_no_more(
    harmed: Server, tmp_path: Path
) -> None:
    url, file = harmed.create_database("jobs"), tmp_path / "runs"
    async with QueueService(url) as service:
        await service.add_jobs("q", [("toil", n, {"max_crashes": 100}) for n in range(2_000)])
        async with toiler(url, file):
            for _ in range(2):
                seen = len(file.read_text().splitlines()) if file.exists() else 0
                other = await asyncio.create_subprocess_exec(
                    sys.executable, str(TOILER), url, str(tmp_path / "killed")
                )
                async with asyncio.timeout(PATIENCE):
                    while len(file.read_text().splitlines() if file.exists() else "") < seen + 100:
                        await asyncio.sleep(0.01)
                other.kill()
                await other.wait()
            await all_done(service)
        jobs = {job.id: job async for job in service.iter_jobs("q")}
    assert {job.state for job in jobs.values()} == {"completed"}
    killed = tmp_path / "killed"
    lines = file.read_text().splitlines() + (
        killed.read_text().splitlines() if killed.exists() else []
    )
    runs = runs_of([line.split() for line in lines])
    assert {i: n for i, n in runs.items() if n > 1 + jobs[i].crashes} == {}
