"""N15, N23, N31, R01 to R05: no room on the disk for a while, and what cannot be written."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from backends.sqlite.tests.handles import Start, at, line
from tests.patience import PATIENCE
from tests.small_disk import small_disk

from jobyard import Job, QueueService
from jobyard.errors import BackendError, BackendUnavailable, StoreFull
from jobyard_sqlite.backend import SqliteBackend

LARGE = "x" * 60_000

UNDER_A_LIMIT = """
import resource, signal
from jobyard.errors import BackendError
async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    backend = at(path)
    await backend.open()
    await backend.prepare()
    size = os.path.getsize(path + "-wal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 200_000, hard))
    acknowledged = 0
    try:
        while acknowledged < 1_000:
            await backend.add([(spec(f"j{acknowledged}", payload=b"x" * 50_000),)])
            acknowledged += 1
    except BackendError as error:
        print(type(error).__name__, error.transient, flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await backend.add([(spec("after"),)])
    found = await backend.get([f"j{n}" for n in range(acknowledged)])
    print(acknowledged, None in found, (await backend.get(["after"]))[0] is not None, flush=True)
    await backend.close()
asyncio.run(main())
"""


@asynccontextmanager
async def no_room(service: QueueService) -> AsyncIterator[None]:
    """Let the database grow no more, as on a full disk; the limit is of the writing connection."""

    def limited(cursor: sqlite3.Cursor, pages: int) -> None:
        cursor.execute(f"PRAGMA max_page_count = {pages}").fetchall()

    backend = service.backend
    assert isinstance(backend, SqliteBackend)
    store = backend._opened()
    await store.alter(lambda cursor: limited(cursor, 1))
    try:
        yield
    finally:
        await store.alter(lambda cursor: limited(cursor, 2**30))


async def fill(service: QueueService) -> list[str]:
    """Add until there is no room; tell what was acknowledged."""
    acknowledged: list[str] = []
    while True:
        try:
            acknowledged.append((await service.add_job("rest", "n", LARGE)).id)
        except StoreFull:
            return acknowledged


@pytest.mark.case("R01", "R02", "R03", "R04")
async def test_a_run_that_ends_on_a_full_disk_is_settled_when_there_is_room(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []
    go_on = asyncio.Event()
    service = QueueService(f"sqlite:///{path}")

    @service.handler("q", "n")
    async def n(job: Job) -> str:
        ran.append(job.id)
        await go_on.wait()
        return LARGE

    async with asyncio.timeout(PATIENCE), service:
        job = await service.add_job("q", "n")
        async with service.worker(lease=3_600, poll_interval=0.05):
            while not ran:
                await asyncio.sleep(0.01)
            async with no_room(service):
                acknowledged = await fill(service)
                go_on.set()
                while not any("could not claim and settle" in each for each in caplog.messages):
                    await asyncio.sleep(0.01)
                assert (await job.refresh()).state == "active"
            assert await job.wait() == LARGE
        acknowledged.append((await service.add_job("rest", "n", LARGE)).id)
        ended = await job.refresh()
        assert (ran, ended.crashes, ended.failures) == ([job.id], 0, 0)
        assert {each.id async for each in service.iter_jobs("rest")} == set(acknowledged)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes of the test's own, where one may be mounted."""
    with small_disk(tmp_path / "small", megabytes=3) as folder:
        yield folder


@pytest.mark.case("R01", "R03")
async def test_a_disk_that_is_full_refuses_adds_and_takes_them_when_there_is_room(
    small: Path,
) -> None:
    ballast = small / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    async with QueueService(f"sqlite:///{small}/jobs.db") as service:
        acknowledged = await fill(service)
        assert acknowledged
        ballast.unlink()
        acknowledged.append((await service.add_job("rest", "n", LARGE)).id)
        assert {job.id async for job in service.iter_jobs("rest")} == set(acknowledged)
    with sqlite3.connect(small / "jobs.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


@pytest.mark.case("R05")
async def test_a_file_that_may_grow_no_more_is_no_end_of_the_process(start: Start) -> None:
    process = start(UNDER_A_LIMIT)
    name, transient = (await line(process)).split()
    assert issubclass({"StoreFull": StoreFull}.get(name, BackendUnavailable), BackendError)
    assert transient == "True"
    acknowledged, is_one_missing, is_after_there = (await line(process)).split()
    assert int(acknowledged) > 0
    assert (is_one_missing, is_after_there) == ("False", "True")
    assert await asyncio.to_thread(process.wait, PATIENCE) == 0


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder in which nobody here may create a file."""
    if os.geteuid() != 0:
        folder = tmp_path / "closed"
        folder.mkdir(mode=0o500)
        return folder
    if not Path("/sys").is_dir():
        pytest.skip("root may write in every folder here")
    return Path("/sys")


@pytest.mark.case("N31")
async def test_a_folder_that_cannot_be_written_is_named(closed: Path) -> None:
    backend = at(closed / "jobs.db")
    await backend.open()
    with pytest.raises(BackendUnavailable, match="cannot be created") as raised:
        await backend.prepare()
    assert str(closed) in str(raised.value)
    assert not raised.value.transient
    await backend.close()


@pytest.mark.case("N15")
async def test_a_database_that_takes_no_writes_for_a_while_is_unavailable(path: Path) -> None:
    """The connection is made one that only reads: SQLite says what it says of such a file."""

    async with QueueService(f"sqlite:///{path}") as service:
        backend = service.backend
        assert isinstance(backend, SqliteBackend)
        store = backend._opened()

        def only_reads(on: str) -> None:
            store._open_writer().execute(f"PRAGMA query_only = {on}").fetchall()

        await store._writer.call(lambda: only_reads("ON"))
        with pytest.raises(BackendUnavailable, match="cannot be written") as raised:
            await service.add_job("q", "n")
        assert raised.value.transient
        await store._writer.call(lambda: only_reads("OFF"))
        await service.add_job("q", "n")
        assert len(await service.list_jobs("q")) == 1


@pytest.mark.case("N23")
async def test_a_reader_that_stays_for_long_stops_nobody(path: Path) -> None:
    async with QueueService(f"sqlite:///{path}") as service:
        service.handler("q", "n")(lambda job: None)
        await service.add_job("q", "n")
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        seen = reader.execute("SELECT count(*) FROM jobyard_job").fetchone()
        for _ in range(5):
            await service.add_jobs("q", [("n", number) for number in range(200)])
            await service.run_until_idle()
        assert reader.execute("SELECT count(*) FROM jobyard_job").fetchone() == seen
        reader.close()
        assert (await service.get_stats("q")).completed == 1_001
