"""A store that fails at any call, before or after it did what was asked."""

import asyncio
from typing import Any

import pytest

from jobyard import Job, JobState
from jobyard.errors import BackendError, BackendUnavailable, StoreBusy
from jobyard.worker.patience import Patience

CALLS = ("claim", "settle", "extend", "reap", "beat")


class Faulty:
    """Makes one call, or all until told otherwise, raise before or after its effect."""

    def __init__(self, backend: Any, *, at: set[int] | None, after: bool, error: Exception) -> None:
        self.count = 0
        self.at = at
        self.broken = False
        self.after = after
        self.error = error
        for name in CALLS:
            setattr(backend, name, self.wrap(getattr(backend, name)))

    def wrap(self, call: Any) -> Any:
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            fails = self.broken if self.at is None else self.count in self.at
            if fails and not self.after:
                raise self.error
            answer = await call(*args, **kwargs)
            if fails:
                raise self.error
            return answer

        return wrapped


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("nth", range(1, 25))
async def test_a_call_that_fails_once_loses_nothing_and_doubles_nothing(
    yard: Any, nth: int, after: bool
) -> None:
    runs: list[str] = []

    async def handler(job: Job) -> None:
        runs.append(job.id)
        await asyncio.sleep(0.2)
        if job.data == "fails" and job.failures == 0:
            raise ValueError

    yard.handle(handler)
    data = ["fails" if i % 5 == 0 else "" for i in range(20)]
    ids = [await yard.add(one, attempts=2, backoff=0.1) for one in data]
    faulty = Faulty(yard.service.backend, at={nth}, after=after, error=StoreBusy())

    records = await yard.run_until(ids, concurrency=6, lease=60)

    assert {record.state for record in records} == {JobState.COMPLETED}
    assert {record.crashes for record in records} == {0}
    assert sorted(runs) == sorted(ids + ids[::5])
    assert faulty.count >= 6


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("error", [BackendUnavailable(), BackendError(), OSError("odd")], ids=repr)
async def test_a_store_that_is_away_for_ten_seconds_loses_nothing(
    yard: Any, after: bool, error: Exception
) -> None:
    runs: list[str] = []

    async def handler(job: Job) -> None:
        runs.append(job.id)
        await asyncio.sleep(0.2)

    yard.handle(handler)
    ids = [await yard.add() for _ in range(60)]
    faulty = Faulty(yard.service.backend, at=None, after=after, error=error)
    async with yard.working(concurrency=6):
        await asyncio.sleep(0.5)
        faulty.broken = True
        await asyncio.sleep(10)
        faulty.broken = False
        records = [await yard.until(job_id) for job_id in ids]

    assert {record.state for record in records} == {JobState.COMPLETED}
    assert sorted(runs) == sorted(ids)


async def test_a_store_that_is_away_is_not_asked_in_a_busy_loop(yard: Any) -> None:
    async def handler(job: Job) -> None: ...

    yard.handle(handler)
    async with yard.working():
        await asyncio.sleep(1)
        faulty = Faulty(yard.service.backend, at=None, after=False, error=StoreBusy())
        faulty.broken = True
        await asyncio.sleep(100)
        count = faulty.count
        faulty.broken = False

    assert count < 150


async def test_an_idle_worker_asks_the_store_as_often_as_it_polls(yard: Any) -> None:
    async def handler(job: Job) -> None: ...

    yard.handle(handler)
    faulty = Faulty(yard.service.backend, at=None, after=False, error=StoreBusy())
    async with yard.working(poll_interval=1):
        await asyncio.sleep(100)
        count = faulty.count

    assert 180 <= count <= 240  # a claim and a reap a second, a beat each ten


async def test_a_stop_while_a_claim_is_unclear_gives_its_jobs_back(yard: Any) -> None:
    async def handler(job: Job) -> None: ...

    yard.handle(handler)
    worker = yard.worker()
    faulty = Faulty(yard.service.backend, at=None, after=True, error=StoreBusy())
    faulty.broken = True
    ids = [await yard.add() for _ in range(3)]
    task = asyncio.create_task(worker.run())
    await yard.until(ids[0], JobState.ACTIVE)

    stop = asyncio.create_task(worker.stop(timeout=1))
    await asyncio.sleep(0.3)
    faulty.broken = False
    await stop
    await task

    assert [(await yard.record(one)).state for one in ids] == [JobState.WAITING] * 3
    assert {(await yard.record(one)).crashes for one in ids} == {0}


async def test_a_stop_does_not_wait_for_a_dead_store_for_ever(
    yard: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(job: Job) -> None:
        await asyncio.sleep(1)

    yard.handle(handler)
    worker = yard.worker()
    job_id = await yard.add()
    task = asyncio.create_task(worker.run())
    await yard.until(job_id, JobState.ACTIVE)
    faulty = Faulty(yard.service.backend, at=None, after=False, error=StoreBusy())
    faulty.broken = True

    await worker.stop(timeout=2)
    await task

    assert yard.now < 30
    assert "could not be settled" in caplog.text


def test_waits_double_up_to_the_longest_and_start_anew() -> None:
    patience = Patience(longest=1.0)
    waits = [patience.lose() for _ in range(8)]

    for wait, middle in zip(waits, [0.1, 0.2, 0.4, 0.8, 1, 1, 1, 1], strict=True):
        assert 0.75 * middle <= wait <= 1.25 * middle

    patience.regain()
    assert patience.lose() <= 0.125


class Picky:
    """Refuses for good to settle one job, alone or among others."""

    def __init__(self, backend: Any, poison: str) -> None:
        self.poison = poison
        self.takes_nothing = False
        self.settle = backend.settle
        backend.settle = self.settle_but_one

    async def settle_but_one(self, settlements: Any, *, claim: Any = None) -> Any:
        if self.takes_nothing or any(one.lease.job_id == self.poison for one in settlements):
            raise BackendError("cannot be encoded")
        return await self.settle(settlements, claim=claim)


async def test_a_run_that_the_store_will_not_settle_hinders_no_other(
    yard: Any, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[str] = []

    async def handler(job: Job) -> None:
        runs.append(job.id)
        await asyncio.sleep(0.05)

    yard.handle(handler)
    ids = [await yard.add() for _ in range(40)]
    poison = ids[3]
    Picky(yard.service.backend, poison)

    others = [one for one in ids if one != poison]
    records = await yard.run_until(others, concurrency=5, lease=60)

    assert {record.state for record in records} == {JobState.COMPLETED}
    assert yard.now < 5
    assert sorted(runs) == sorted(ids)
    assert (await yard.record(poison)).state is JobState.ACTIVE
    refused = [r for r in caplog.records if "refuses to settle" in r.getMessage()]
    assert [r.levelname for r in refused] == ["ERROR"]
    assert poison in refused[0].getMessage()


async def test_it_is_dropped_when_it_is_alone_too(yard: Any) -> None:
    async def handler(job: Job) -> None:
        await asyncio.sleep(0.05)

    yard.handle(handler)
    poison = await yard.add()
    Picky(yard.service.backend, poison)
    async with yard.working(concurrency=1) as worker:
        await asyncio.sleep(2)
        last = await yard.add()
        record = await yard.until(last)
    assert record.state is JobState.COMPLETED
    assert worker.stats.completed == 1


async def test_nothing_is_dropped_while_the_store_takes_nothing(yard: Any) -> None:
    async def handler(job: Job) -> None:
        await asyncio.sleep(0.05)

    yard.handle(handler)
    ids = [await yard.add() for _ in range(5)]
    picky = Picky(yard.service.backend, "nobody")
    picky.takes_nothing = True
    async with yard.working(concurrency=5) as worker:
        worker.pause()
        worker.resume()
        await asyncio.sleep(0.01)
        worker.pause()  # no claim tells that the store is well
        await asyncio.sleep(5)
        assert worker.active == 0
        picky.takes_nothing = False
        records = [await yard.until(one) for one in ids]
    assert {record.state for record in records} == {JobState.COMPLETED}
    assert worker.stats.completed == 5
