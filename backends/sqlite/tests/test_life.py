"""Opening, closing, and the connection that a caller gives."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from backends.sqlite.tests.handles import Start, at, line, spec, want
from tests.patience import PATIENCE

from jobyard import Job, QueueService
from jobyard.backend import Capability
from jobyard.clock import ManualClock
from jobyard.errors import BackendClosed, BackendError, ConfigError
from jobyard_sqlite.backend import SqliteBackend

FORGET_TO_CLOSE = """
async def main():
    backend = at(path)
    await backend.open()
    await backend.prepare()
    await backend.add([(spec("a"),)])
    print("added", flush=True)
asyncio.run(main())
"""


def threads() -> list[str]:
    return [each.name for each in threading.enumerate() if "jobyard-sqlite" in each.name]


async def test_closing_ends_the_threads_and_may_be_repeated(path: Path) -> None:
    backend = at(path)
    await backend.close()
    await backend.open()
    assert threads() == ["jobyard-sqlite-writer", "jobyard-sqlite-reader"]
    await backend.close()
    await backend.close()
    assert threads() == []
    with pytest.raises(BackendClosed):
        await backend.get(["a"])


async def test_a_failed_open_leaves_no_thread(tmp_path: Path) -> None:
    with pytest.raises(BackendError):
        await at(tmp_path / "missing" / "jobs.db").open()
    assert threads() == []


@pytest.mark.case("A06")
async def test_a_handle_not_closed_lets_the_interpreter_end(start: Start) -> None:
    process = start(FORGET_TO_CLOSE)
    assert await line(process) == "added"
    assert await asyncio.to_thread(process.wait, PATIENCE) == 0


@pytest.mark.case("A08")
def test_another_event_loop_is_refused(path: Path) -> None:
    backend = at(path)

    async def first() -> None:
        await backend.open()

    async def second() -> None:
        with pytest.raises(BackendError, match="another event loop"):
            await backend.get(["a"])
        await backend.close()

    asyncio.run(first())
    asyncio.run(second())


async def test_what_was_called_before_close_is_done(backend: SqliteBackend, path: Path) -> None:
    calls = [asyncio.ensure_future(backend.add([(spec(f"j{n}"),)])) for n in range(20)]
    await asyncio.sleep(0)
    await backend.close()
    await asyncio.gather(*calls)
    other = at(path)
    await other.open()
    assert all(await other.get([f"j{n}" for n in range(20)]))
    await other.close()


async def test_closing_leaves_the_event_loop_to_others(backend: SqliteBackend, path: Path) -> None:
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    call = asyncio.ensure_future(backend.add([(spec("a"),)]))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(backend.close())
    await asyncio.sleep(0)
    holder.execute("COMMIT")
    await closing
    ((added,),) = await call
    assert added.job_id == "a"
    holder.close()


async def test_a_cancelled_caller_leaves_the_handle_usable(backend: SqliteBackend) -> None:
    call = asyncio.ensure_future(backend.add([(spec("a"),)]))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    await backend.add([(spec("b"),)])
    assert all(await backend.get(["a", "b"]))


async def test_a_connection_of_the_callers_is_used_and_not_closed(path: Path) -> None:
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    backend = SqliteBackend.on(connection, namespace="mine", clock=ManualClock())
    await backend.open()
    await backend.prepare()
    await backend.add([(spec("a"),)])
    assert [lease.job_id for lease in (await backend.claim(want())).leases] == ["a"]
    assert (await backend.queues())[0].counts.active == 1
    await backend.close()
    assert connection.execute("SELECT count(*) FROM mine_job").fetchone()[0] == 1
    connection.close()


async def test_k005_a_service_works_on_a_connection_of_the_callers(path: Path) -> None:
    connection = sqlite3.connect(path, check_same_thread=False)
    service = QueueService(SqliteBackend.on(connection))

    @service.handler("q", "n")
    async def n(job: Job) -> object:
        return job.data

    for number in (1, 2):
        async with service:
            job = await service.add_job("q", "n", number)
            await service.run_until_idle()
            assert await job.wait(timeout=100) == number
    assert connection.execute("SELECT count(*) FROM jobyard_job").fetchone()[0] == 2
    connection.close()


async def test_a_connection_bound_to_its_thread_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    backend = SqliteBackend.on(connection)
    with pytest.raises(ConfigError, match="check_same_thread=False"):
        await backend.open()
    connection.close()


async def test_a_callers_open_transaction_is_respected(path: Path) -> None:
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    backend = SqliteBackend.on(connection)
    await backend.open()
    await backend.prepare()
    connection.execute("BEGIN")
    with pytest.raises(BackendError, match="transaction open"):
        await backend.add([(spec("a"),)])
    assert connection.in_transaction
    connection.rollback()
    await backend.add([(spec("a"),)])
    await backend.close()
    connection.close()


@pytest.mark.case("T04")
async def test_the_clock_stands_still_when_the_hosts_is_set_back(
    backend: SqliteBackend, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backend.add([(spec("a"),)])
    before = (await backend.ping()).now
    monkeypatch.setattr(time, "time_ns", lambda: 10**15)
    other = at(path)
    await other.open()
    assert (await other.ping()).now >= before - 1_000
    await other.add([(spec("b"),)])
    first, second = await other.get(["a", "b"])
    assert first is not None
    assert second is not None
    assert second.created_at >= first.created_at
    await other.close()


def test_it_promises_what_it_has() -> None:
    assert SqliteBackend.capabilities == (
        Capability.SHARED | Capability.DURABLE | Capability.PUSH | Capability.CALLER_TX
    )


async def test_a_step_that_fails_changes_nothing(backend: SqliteBackend) -> None:
    await backend.add([(spec("a"),)])
    with pytest.raises(UnicodeEncodeError):
        await backend.add([(spec("b"),), (spec("c", payload="\ud800"),)])
    assert await backend.get(["b", "c"]) == (None, None)
    assert (await backend.queues())[0].counts.total == 1
