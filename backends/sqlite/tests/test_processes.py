"""Several processes on one file: kills, locks, migrations, wake-ups."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from backends.sqlite.tests.handles import Start, at, line, rest_of, spec, want

from jobyard import Job, QueueService
from jobyard.errors import BackendError, StoreBusy
from jobyard.events import Notice, Topic
from jobyard.lease import Done, Released, Settled, Settlement
from jobyard_sqlite.backend import SqliteBackend

PATIENCE = 100.0

ADD_FOR_EVER = """
async def main():
    backend = at(path)
    await backend.open()
    for n in range(10**9):
        await backend.add([(spec(f"{os.getpid()}-{n}"), spec(f"{os.getpid()}-{n}-twin"))])
        print(n, flush=True)
asyncio.run(main())
"""

CLAIM_AND_SETTLE_FOR_EVER = """
from jobyard.lease import Done, Settlement
async def main():
    backend = at(path)
    await backend.open()
    ended = []
    while True:
        answer = await backend.settle(ended, claim=want(3))
        for end in ended:
            print(end.lease.job_id, flush=True)
        ended = [Settlement(lease, Done(b"1")) for lease in answer.claimed.leases]
asyncio.run(main())
"""

MIGRATE = """
async def main():
    backend = at(path)
    await backend.open()
    print("ready", flush=True)
    sys.stdin.readline()
    await backend.prepare()
    print(await backend.is_prepared(), flush=True)
    await backend.close()
asyncio.run(main())
"""

HOLD_THE_LOCK = """
connection = sqlite3.connect(path, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""

LISTEN = """
async def main():
    backend = at(path)
    await backend.open()
    woken = asyncio.Queue()
    async with backend.listen(woken.put_nowait, queues=["emails"], events=True):
        print("listening", flush=True)
        while True:
            notice = await woken.get()
            print(notice.topic, notice.queue, flush=True)
asyncio.run(main())
"""


@pytest.mark.case("F08")
async def test_what_was_acknowledged_survives_kill_9(backend: SqliteBackend, start: Start) -> None:
    process = start(ADD_FOR_EVER)
    for _ in range(50):
        assert (await line(process)).isdigit()
    process.send_signal(signal.SIGKILL)
    rest = await rest_of(process)
    acknowledged = 50 + len(rest.split())
    ids = [f"{process.pid}-{n}" for n in range(acknowledged + 1)]
    found = await backend.get(ids)
    assert all(found[:acknowledged])
    twins = await backend.get([f"{job_id}-twin" for job_id in ids])
    assert [job is None for job in found] == [job is None for job in twins]


@pytest.mark.case("F05", "F06")
async def test_a_killed_workers_jobs_are_all_there(backend: SqliteBackend, start: Start) -> None:
    await backend.add([tuple(spec() for _ in range(500))])
    process = start(CLAIM_AND_SETTLE_FOR_EVER)
    settled = [await line(process) for _ in range(60)]
    process.send_signal(signal.SIGKILL)
    rest = await rest_of(process)
    settled += rest.split()
    jobs = await backend.get(settled)
    assert {job.state if job else None for job in jobs} == {"completed"}
    (queue,) = await backend.queues()
    assert queue.counts.total == 500
    assert queue.counts.active <= 3


@pytest.mark.case("B28")
async def test_eight_processes_migrate_at_once(path: Path, start: Start) -> None:
    processes = [start(MIGRATE) for _ in range(8)]
    for process in processes:
        assert await line(process) == "ready"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [await line(process) for process in processes] == ["True"] * 8
    backend = at(path)
    await backend.open()
    await backend.add([(spec("a"),)])
    await backend.prepare()
    assert (await backend.get(["a"]))[0] is not None
    await backend.close()


@pytest.mark.case("Z09")
async def test_a_call_waits_while_another_process_writes(path: Path, start: Start) -> None:
    backend = at(path, busy_timeout=str(PATIENCE))
    await backend.open()
    await backend.prepare()
    process = start(HOLD_THE_LOCK)
    assert await line(process) == "locked"
    waiting = asyncio.ensure_future(backend.add([(spec("a"),)]))
    done, _ = await asyncio.wait([waiting], timeout=1)
    assert not done
    process.send_signal(signal.SIGKILL)
    async with asyncio.timeout(PATIENCE):
        ((added,),) = await waiting
    assert added.job_id == "a"
    await backend.close()


async def test_reads_do_not_wait_for_a_writer(backend: SqliteBackend, start: Start) -> None:
    await backend.add([(spec("a"),)])
    process = start(HOLD_THE_LOCK)
    assert await line(process) == "locked"
    async with asyncio.timeout(PATIENCE):
        assert (await backend.get(["a"]))[0] is not None


@pytest.mark.case("Z09")
async def test_a_lock_held_too_long_is_store_busy(path: Path, start: Start) -> None:
    backend = at(path, busy_timeout="0.2")
    await backend.open()
    await backend.prepare()
    process = start(HOLD_THE_LOCK)
    assert await line(process) == "locked"
    with pytest.raises(StoreBusy) as raised:
        await backend.add([(spec("a"),)])
    assert raised.value.transient
    assert isinstance(raised.value.__cause__, sqlite3.OperationalError)
    process.kill()
    process.communicate()
    await backend.add([(spec("a"),)])
    await backend.close()


async def test_a_job_added_wakes_a_listener_of_another_process(
    backend: SqliteBackend, start: Start
) -> None:
    process = start(LISTEN)
    assert await line(process) == "listening"
    await backend.add([(spec(queue="others"),)])
    await backend.add([(spec(),)])
    async with asyncio.timeout(PATIENCE):
        assert await line(process) == "work emails"


async def test_what_makes_work_wakes(backend: SqliteBackend, start: Start) -> None:
    process = start(LISTEN)
    assert await line(process) == "listening"
    await backend.add([(spec("a"),)])
    assert await line(process) == "work emails"
    (lease,) = (await backend.claim(want())).leases
    await backend.settle([Settlement(lease, Released())])
    assert await line(process) == "work emails"
    await backend.subscribe("me", ttl_ms=60_000)
    (lease,) = (await backend.claim(want())).leases
    assert await line(process) == "events"


async def test_the_socket_of_a_killed_listener_is_removed(
    backend: SqliteBackend, start: Start, path: Path
) -> None:
    process = start(LISTEN)
    assert await line(process) == "listening"
    folder = path.with_name("jobs.db-wake")
    assert len(list(folder.iterdir())) == 1
    assert folder.stat().st_mode & 0o777 == 0o700
    process.kill()
    process.communicate()
    await backend.add([(spec(),)])
    assert list(folder.iterdir()) == []


async def test_a_long_path_wakes_too(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    one, other = at(folder / "jobs.db"), at(folder / "jobs.db")
    for each in (one, other):
        await each.open()
        await each.prepare()
    heard: asyncio.Queue[Notice] = asyncio.Queue()
    async with one.listen(heard.put_nowait, queues=["emails"]):
        assert list((folder / "jobs.db-wake").iterdir())
        await other.add([(spec(),)])
        async with asyncio.timeout(PATIENCE):
            assert await heard.get() == Notice(Topic.WORK, "emails")
    await one.close()
    await other.close()


async def test_a_listener_leaves_nothing_behind(backend: SqliteBackend, path: Path) -> None:
    async with backend.listen(lambda _: None):
        assert path.with_name("jobs.db-wake").exists()
    assert not path.with_name("jobs.db-wake").exists()


async def test_without_wakeup_there_is_no_socket(path: Path) -> None:
    backend = at(path, wakeup="off")
    await backend.open()
    await backend.prepare()
    async with backend.listen(lambda _: None):
        assert not path.with_name("jobs.db-wake").exists()
    findings = {finding.subject: finding.severity for finding in await backend.inspect()}
    assert findings["wakeup"] == "advice"
    await backend.close()


@pytest.mark.case("F24")
async def test_use_after_a_fork_is_refused(
    backend: SqliteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(BackendError, match="forked"):
        await backend.get(["a"])


async def test_a_settle_by_two_processes_counts_once(backend: SqliteBackend, path: Path) -> None:
    other = at(path)
    await other.open()
    await backend.add([(spec("a"),)])
    (lease,) = (await backend.claim(want())).leases
    ends = [Settlement(lease, Done())]
    answers = await asyncio.gather(backend.settle(ends), other.settle(ends))
    assert sorted(answer.results[0] for answer in answers) == [Settled.ALREADY, Settled.OK]
    await other.close()


async def test_k155_a_file_that_is_locked_for_long_stops_no_worker(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ran: Counter[int] = Counter()
    service = QueueService(f"sqlite:///{path}?busy_timeout=0.1&durability=fast")

    @service.handler("q", "n")
    async def n(job: Job) -> None:
        ran[job.data] += 1
        await asyncio.sleep(0.001)

    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    async with asyncio.timeout(PATIENCE), service:
        jobs = await service.add_jobs("q", [("n", number) for number in range(500)])
        worker = service.worker(concurrency=5, poll_interval=0.05)
        work = asyncio.create_task(worker.run())
        while len(ran) < 50:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(holder.execute, "BEGIN IMMEDIATE")
        while sum("could not claim and settle" in text for text in caplog.messages) < 3:
            await asyncio.sleep(0.01)
        with pytest.raises(StoreBusy):
            await service.add_job("q", "n", -1)
        holder.execute("COMMIT")
        await asyncio.gather(*(job.wait() for job in jobs))
        await worker.stop()
        await work
    holder.close()
    assert ran == Counter(range(500))
