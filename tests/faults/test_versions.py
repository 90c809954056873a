"""B27: a newer version migrates a namespace that processes of an older one work on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.patience import PATIENCE

import jobyard_postgres.migrate
import jobyard_sqlite.migrate
from jobyard import Job, QueueService
from jobyard.errors import StorageNotPrepared, StorageTooNew
from jobyard_sql.flavor import Flavor
from jobyard_sql.migrations import Migration, migrations

ADDS = "ALTER TABLE {ns}_job ADD COLUMN novelty INTEGER;\n"
BREAKS = "ALTER TABLE {ns}_counter RENAME TO {ns}_counter_2;\n"
MENDS = "ALTER TABLE {ns}_counter_2 RENAME TO {ns}_counter;\n"

STORES = pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
"""Those that are migrated by steps; Redis and memory have none, and are in the suite's own test."""


@contextmanager
def newer(*texts: str) -> Iterator[None]:
    """Be of a version that has further steps."""

    def steps(flavor: Flavor) -> tuple[Migration, ...]:
        before = migrations(flavor)
        more = enumerate(texts, len(before) + 1)
        return *before, *(Migration(number=n, title="newer", text=text) for n, text in more)

    with pytest.MonkeyPatch.context() as patch:
        for module in (jobyard_postgres.migrate, jobyard_sqlite.migrate):
            patch.setattr(module, "migrations", steps)
        yield


def handling(service: QueueService, ran: Counter[str], gate: asyncio.Event) -> None:
    @service.handler("q", "n")
    async def n(job: Job) -> None:
        ran[job.id] += 1
        await gate.wait()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


@STORES
@pytest.mark.case("B27", on=("sqlite", "postgres"))
async def test_the_older_version_works_on_beside_the_newer(url: str) -> None:
    ran: Counter[str] = Counter()
    gate = asyncio.Event()
    old = QueueService(url)
    handling(old, ran, gate)
    async with old:
        jobs = await old.add_jobs("q", [("n", n) for n in range(20)])
        async with old.worker(concurrency=5, lease=3_600, poll_interval=0.05):
            await until(lambda: len(ran) >= 5)
            with newer(ADDS):
                new = QueueService(url)
                handling(new, ran, gate)
                async with new:
                    jobs += await new.add_jobs("q", [("n", n) for n in range(20)])
                    async with new.worker(concurrency=5, lease=3_600, poll_interval=0.05):
                        await until(lambda: len(ran) >= 10)
                        gate.set()
                        for job in jobs:
                            await job.wait(timeout=PATIENCE)
        jobs.append(await old.add_job("q", "n"))
        assert await old.run_until_idle() == 1
        assert ran == Counter(job.id for job in jobs)
        for job in jobs:
            now = await old.get_job(job.id)
            assert (now.state, now.failures, now.crashes) == ("completed", 0, 0)
    with pytest.raises(StorageTooNew, match="upgrade this process"):
        await old.open()
    with pytest.raises(StorageTooNew, match="upgrade this process"):
        await QueueService(url, migrate="check").run(wait_for_store=0)


@STORES
@pytest.mark.case("B27", on=("sqlite", "postgres"))
async def test_the_older_version_ends_cleanly_where_the_newer_takes_its_tables_away(
    url: str,
) -> None:
    ran: Counter[str] = Counter()
    gate = asyncio.Event()
    old = QueueService(url)
    handling(old, ran, gate)
    async with old:
        jobs = await old.add_jobs("q", [("n", n) for n in range(20)])
        working = asyncio.create_task(
            old.worker(concurrency=5, lease=3_600, poll_interval=0.05).run()
        )
        await until(lambda: len(ran) >= 5)
        with newer(BREAKS):
            await QueueService(url).migrate()
        gate.set()
        with pytest.raises(StorageNotPrepared, match="upgrade this process"):
            await asyncio.wait_for(working, PATIENCE)
        with pytest.raises(StorageNotPrepared, match="upgrade this process"):
            await old.add_job("q", "n")
    with pytest.raises(StorageTooNew, match="upgrade this process"):
        await old.open()
    with newer(BREAKS, MENDS):
        async with QueueService(url) as new:
            found = {job.id: job async for job in new.iter_jobs("q")}
    assert found.keys() == {job.id for job in jobs}
    assert {job_id for job_id, job in found.items() if job.state == "active"} == set(ran)
    assert set(ran.values()) == {1}
