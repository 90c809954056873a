"""N18, N19: pgbouncer in transaction mode, before a server, where there is a pgbouncer."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from backends.postgres.tests.enduring import PATIENCE, Producer, endure
from backends.postgres.tests.pooler import Pooler, find_pgbouncer
from tests.faults.handles import until_answered

from jobyard import QueueService
from jobyard_postgres.throwaway import FAST, Server

POOLED = Path(__file__).with_name("pooled.py")
ROOT = Path(__file__).resolve().parents[3]
PROGRAM = find_pgbouncer()

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="there is no pgbouncer (Debian: apt install pgbouncer)"
)


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server that no other test makes busy."""
    with Server(settings=FAST) as server:
        server.create_database("jobs")
        yield server


@pytest.fixture(scope="module")
def pooler(own: Server) -> Iterator[Pooler]:
    assert PROGRAM is not None
    with Pooler(PROGRAM, own) as pooler:
        yield pooler


@pytest.mark.timeout(3_600)  # some hundred tests
@pytest.mark.case("N18")
def test_the_contract_holds_by_way_of_the_pooler() -> None:
    chosen = ("--jobyard-quick", "-k", "not processes and not killed and not in_any_call")
    command = [sys.executable, "-m", "pytest", "-q", str(POOLED), *chosen]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert "TestPooled" in done.stdout


async def refuse(producer: Producer) -> None:
    """Wait until the producer was told by an error that it may try again."""
    before = producer.refused
    async with asyncio.timeout(PATIENCE):
        while producer.refused == before:
            await asyncio.sleep(0.01)


async def restarted(pooler: Pooler, producer: Producer) -> None:
    await asyncio.to_thread(pooler.stop)
    await refuse(producer)
    await asyncio.to_thread(pooler.start)


async def paused(pooler: Pooler, producer: Producer) -> None:
    await asyncio.to_thread(pooler.say, "PAUSE")
    await refuse(producer)
    await asyncio.to_thread(pooler.say, "RESUME")


@pytest.mark.parametrize("harm", [restarted, paused])
@pytest.mark.case("N19")
async def test_workers_go_on_when_the_pooler_does_and_nothing_is_lost(
    own: Server,
    pooler: Pooler,
    tmp_path: Path,
    harm: Callable[[Pooler, Producer], Awaitable[None]],
) -> None:
    database = f"jobs_{secrets.token_hex(6)}"
    own.create_database(database)
    url = pooler.url(database)
    async with QueueService(own.url(database)) as service, AsyncExitStack() as stack:
        producing = QueueService(f"{url}&timeout=5")
        stack.push_async_callback(producing.close)
        await until_answered(producing.open)
        await endure(
            service, producing, url, tmp_path / "runs", lambda producer: harm(pooler, producer)
        )
