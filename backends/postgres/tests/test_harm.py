"""N20, N22, N23, N28, R01 to R03: listeners that are ended, locked rows, a full disk."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.patience import PATIENCE
from tests.small_disk import small_disk

from jobyard import Job, QueueService
from jobyard.errors import ConfigError, StoreFull
from jobyard_postgres import store
from jobyard_postgres.throwaway import Server

LARGE = "x" * 200_000


@pytest.fixture
def own(server: Server) -> str:
    """A database of this test's own."""
    return server.create_database()


def name_of(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


@pytest.mark.case("N20")
async def test_a_worker_whose_listener_is_ended_hears_again(server: Server, own: str) -> None:
    heard: list[str] = []
    service = QueueService(own)
    service.handler("q", "n")(lambda job: heard.append(job.id))

    def listeners(how: str) -> list[int]:
        text = (
            f"SELECT {how} FROM pg_stat_activity WHERE query ILIKE 'listen%' "
            f"AND datname = '{name_of(own)}'"
        )
        with server.connect() as connection:
            return [pid for (pid,) in connection.execute(text.encode())]

    async def others(before: list[int]) -> list[int]:
        while not (found := [pid for pid in listeners("pid") if pid not in before]):
            await asyncio.sleep(0.05)
        return found

    # It would look by itself long after this test has failed: only what it hears makes it look.
    async with asyncio.timeout(PATIENCE), service, service.worker(poll_interval=3_600):
        before = await others([])
        for _ in range(2):
            assert listeners("pg_terminate_backend(pid)")
            before = await others(before)
            job = await service.add_job("q", "n")
            while job.id not in heard:
                await asyncio.sleep(0.01)


@pytest.mark.case("N22")
async def test_a_job_that_somebodys_transaction_locks_is_passed_over(
    server: Server, own: str
) -> None:
    ran: list[int] = []
    service = QueueService(own)

    @service.handler("q", "n")
    async def n(job: Job) -> None:
        ran.append(job.data)

    async with asyncio.timeout(PATIENCE), service:
        await service.add_jobs("q", [("n", number) for number in range(5)])
        with psycopg.connect(server.url(name_of(own))) as theirs:
            theirs.execute("SELECT 1 FROM jobyard_ready ORDER BY no LIMIT 1 FOR UPDATE")
            assert await service.run_until_idle() == 4
            assert ran == [1, 2, 3, 4]
        assert await service.run_until_idle() == 1
    assert ran == [1, 2, 3, 4, 0]


@pytest.mark.case("N23")
async def test_a_transaction_that_stays_for_long_stops_nobody(server: Server, own: str) -> None:
    async with asyncio.timeout(PATIENCE), QueueService(own) as service:
        service.handler("q", "n")(lambda job: None)
        await service.add_job("q", "n")
        with psycopg.connect(server.url(name_of(own))) as theirs:
            theirs.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            seen = theirs.execute("SELECT count(*) FROM jobyard_job").fetchone()
            for _ in range(3):
                await service.add_jobs("q", [("n", number) for number in range(200)])
                await service.run_until_idle()
            assert theirs.execute("SELECT count(*) FROM jobyard_job").fetchone() == seen
        assert (await service.get_stats("q")).completed == 601


@pytest.mark.case("N28")
async def test_a_server_that_is_too_old_is_refused(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "OLDEST", 99)
    with pytest.raises(ConfigError, match="PostgreSQL 99 or later is needed"):
        await QueueService(own).open()


@pytest.fixture
def small(server: Server) -> Iterator[Path]:
    """A disk of a few megabytes of the test's own, where one may be mounted."""
    with small_disk(server.socket_folder / "small", megabytes=12) as folder:
        yield folder


@pytest.mark.case("R01", "R02", "R03")
async def test_a_full_disk_refuses_adds_and_settles_until_there_is_room(
    server: Server, small: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ballast = small / "ballast"
    ballast.write_bytes(bytes(4_000_000))
    place = small / "tables"
    place.mkdir(mode=0o700)
    if (account := server._account) is not None:
        os.chown(place, account.pw_uid, account.pw_gid)
    with server.connect() as admin:
        admin.execute(f"CREATE TABLESPACE small LOCATION '{place}'".encode())
        url = server.create_database()
        admin.execute(f'ALTER DATABASE "{name_of(url)}" SET default_tablespace = small'.encode())
        try:
            await fill_and_make_room(url, ballast, caplog)
        finally:
            admin.execute(f'DROP DATABASE "{name_of(url)}" WITH (FORCE)'.encode())
            admin.execute("DROP TABLESPACE small")


async def fill_and_make_room(url: str, ballast: Path, caplog: pytest.LogCaptureFixture) -> None:
    ran: list[str] = []
    go_on = asyncio.Event()
    service = QueueService(url)

    @service.handler("q", "n")
    async def n(job: Job) -> str:
        ran.append(job.id)
        await go_on.wait()
        return os.urandom(30_000).hex()

    async with asyncio.timeout(PATIENCE), service:
        job = await service.add_job("q", "n")
        async with service.worker(lease=3_600, poll_interval=0.05):
            while not ran:
                await asyncio.sleep(0.01)
            acknowledged: list[str] = []
            with pytest.raises(StoreFull) as raised:
                while True:
                    payload = os.urandom(100_000).hex()  # what the server cannot make smaller
                    acknowledged.append((await service.add_job("rest", "n", payload)).id)
            assert raised.value.transient
            go_on.set()
            while not any("could not claim and settle" in text for text in caplog.messages):
                await asyncio.sleep(0.01)
            await asyncio.to_thread(ballast.unlink)
            await job.wait()
        acknowledged.append((await service.add_job("rest", "n", "x")).id)
        ended = await job.refresh()
        assert (ran, ended.crashes, ended.failures) == ([job.id], 0, 0)
        assert {each.id async for each in service.iter_jobs("rest")} == set(acknowledged)
