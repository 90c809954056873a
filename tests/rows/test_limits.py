"""K-093, K-094, K-096, K-097, B-14: limits that all workers keep together, and batches."""

from __future__ import annotations

import asyncio
import itertools
from datetime import datetime, timedelta

import pytest
from tests.patience import PATIENCE

from jobyard import BatchOptions, JobState, QueueLimit, QueueService, RateLimit, RateLimited
from jobyard.errors import InvalidName, InvalidOption

WORKERS = 4


class Gauge:
    """Counts how many runs of a name there are at once, and the most there were."""

    def __init__(self) -> None:
        self.now: dict[str, int] = {}
        self.peak: dict[str, int] = {}

    async def run(self, job) -> None:
        for key in (job.name, "all"):
            self.now[key] = self.now.get(key, 0) + 1
            self.peak[key] = max(self.peak.get(key, 0), self.now[key])
        await asyncio.sleep(0.005)
        for key in (job.name, "all"):
            self.now[key] -= 1


async def work_off(make, handler, jobs, **options) -> None:
    """Run jobs of queue "q" on several workers until they have ended."""
    services = [await make() for _ in range(WORKERS)]
    for service in services:
        for name in {job.name for job in jobs}:
            service.register_worker("q", name, handler, **options)
    work = [asyncio.create_task(each.worker(poll_interval=0.05).run()) for each in services]
    async with asyncio.timeout(PATIENCE):
        for job in jobs:
            await job.wait()
    for service in services:
        await service.close()
    await asyncio.gather(*work)


async def test_k094_one_job_at_a_time_over_all_workers(make) -> None:
    service, gauge = await make(), Gauge()
    await service.limit_queue("q", concurrency=1)
    jobs = await service.add_jobs("q", [("n", n) for n in range(20)])
    await work_off(make, gauge.run, jobs)
    assert gauge.peak["all"] == 1
    starts = [(await job.refresh()).started_at for job in jobs]
    assert starts == sorted(starts), "in the order of adding"


async def test_k093_names_are_limited_apart_over_all_workers(make) -> None:
    service, gauge = await make(), Gauge()
    await service.limit_name("q", "one", concurrency=1)
    await service.limit_name("q", "four", concurrency=4)
    names = ["one"] * 15 + ["four"] * 40 + ["any"] * 40
    jobs = await service.add_jobs("q", [(name, None) for name in names])
    await work_off(make, gauge.run, jobs)
    assert (gauge.peak["one"], gauge.peak["four"]) == (1, 4)
    assert gauge.peak["any"] > 4


async def test_limits_are_shown_replaced_and_lifted(make) -> None:
    service, other = await make(), await make()
    assert await service.list_limits("q") == []
    await service.limit_queue("q", concurrency=3, rate=RateLimit(10, per=timedelta(minutes=1)))
    await service.limit_name("q", None, concurrency=2)
    await service.limit_name("q", "n", rate=RateLimit(1, per=0.5))
    assert await other.list_limits("q") == [
        QueueLimit(concurrency=3, rate=RateLimit(10, 60.0)),
        QueueLimit(is_of_name=True, concurrency=2),
        QueueLimit(name="n", is_of_name=True, rate=RateLimit(1, 0.5)),
    ]
    await other.limit_queue("q", concurrency=5)
    await other.limit_name("q", None)
    await other.limit_name("q", "n")
    assert await service.list_limits("q") == [QueueLimit(concurrency=5)]
    await service.limit_queue("q")
    await service.hold_queue("q", 600)
    await service.hold_name("q", "n", timedelta(minutes=5))
    queue, name = await service.list_limits("q")
    assert queue.held_until is not None
    assert name.held_until is not None
    assert queue.held_until > name.held_until
    await service.add_job("q", "n")
    assert await service.claim("q") == []
    await service.hold_queue("q", 0)
    await service.hold_name("q", "n", 0)
    assert len(await service.claim("q")) == 1
    assert await service.list_limits("q") == []


async def test_impossible_limits_are_refused(service: QueueService) -> None:
    for bad in (0, -1, True, 1.5, "2"):
        with pytest.raises(InvalidOption):
            await service.limit_queue("q", concurrency=bad)  # type: ignore[arg-type]
    for rate in (3, RateLimit(1, 1, "key")):
        with pytest.raises(InvalidOption):
            await service.limit_name("q", "n", rate=rate)  # type: ignore[arg-type]
    with pytest.raises(InvalidName):
        await service.limit_name("q", "", concurrency=1)
    with pytest.raises(InvalidOption):
        await service.hold_queue("q", -1)
    assert await service.list_queues() == []


async def test_k096_no_two_starts_closer_than_the_rate_allows(make) -> None:
    service, ran = await make(), []

    async def handler(job):
        ran.append(job.name)

    paced = await service.add_jobs("q", [("paced", n) for n in range(5)])
    free = await service.add_jobs("r", [("free", n) for n in range(50)])
    services = [await make() for _ in range(WORKERS)]
    for each in services:
        each.register_worker("q", "paced", handler, rate=RateLimit(1, per=0.2))
        each.register_worker("r", "free", handler)
    work = [asyncio.create_task(each.worker(poll_interval=0.05).run()) for each in services]
    async with asyncio.timeout(PATIENCE):
        for job in (*free, *paced):
            await job.wait()
    for each in services:
        await each.close()
    await asyncio.gather(*work)
    starts = sorted([(await job.refresh()).started_at for job in paced])
    gaps = [later - sooner for sooner, later in itertools.pairwise(starts)]
    assert min(gaps) >= timedelta(seconds=0.2)
    frees = sorted([(await job.refresh()).started_at for job in free])
    gaps = [later - sooner for sooner, later in itertools.pairwise(frees)]
    assert min(gaps) < timedelta(seconds=0.2), "other names are not slowed"
    assert ran.count("free") == 50


async def test_k096_a_rate_by_key(make) -> None:
    service = await make()
    keys = [RateLimit(2, per=0.3, key=key) for key in ("ada", "bob")]
    jobs = await service.add_jobs("q", [("n", None, {"rate": keys[n % 2]}) for n in range(10)])

    async def handler(job):
        return None

    await work_off(make, handler, jobs)
    for parity in (0, 1):
        starts = sorted([(await job.refresh()).started_at for job in jobs[parity::2]])
        assert all(
            later - sooner >= timedelta(seconds=0.3)
            for sooner, later in zip(starts, starts[2:], strict=False)
        )


async def test_k097_a_queue_that_is_held_goes_on_after_its_time(make) -> None:
    service = await make()
    met: list[datetime] = []

    async def handler(job):
        if not met:
            met.append((await job.refresh()).started_at)
            raise RateLimited(0.5)

    jobs = await service.add_jobs("q", [("n", n) for n in range(8)])
    await service.limit_queue("q", concurrency=1)  # so that none runs beside the one that is held
    await work_off(make, handler, jobs)
    ended = [await job.refresh() for job in jobs]
    assert {(job.state, job.failures) for job in ended} == {(JobState.COMPLETED, 0)}
    assert min(job.started_at for job in ended) >= met[0] + timedelta(seconds=0.5)
    assert min(ended, key=lambda job: job.started_at).id == jobs[0].id, "it has kept its place"


async def test_k097_the_job_is_back_and_the_queue_held(service: QueueService, eventually) -> None:
    @service.handler("q", "n")
    async def handler(job):
        raise RateLimited(600)

    job, other = await service.add_jobs("q", [("n", 1), ("n", 2)])
    work = asyncio.create_task(service.worker(concurrency=1).run())

    async def is_back() -> bool:
        now = await job.refresh()
        return (now.state, now.started_at is not None) == (JobState.WAITING, True)

    await eventually(is_back)
    now = await job.refresh()
    assert (now.failures, now.crashes) == (0, 0)
    (limit,) = await service.list_limits("q")
    assert limit.held_until > now.started_at + timedelta(seconds=599)
    assert (await other.refresh()).started_at is None, "the rest of the queue is held"
    assert await service.claim("q", limit=9) == []
    await service.close()
    await work


async def test_b14_a_call_gets_several_jobs_and_each_is_settled_alone(
    service: QueueService,
) -> None:
    calls = []

    @service.handler("q", "async", batch=BatchOptions(50, wait=0.2))
    async def handler(jobs):
        calls.append(len(jobs))
        return [ValueError(job.data) if job.data % 10 == 3 else job.data for job in jobs]

    @service.handler("q", "thread", batch=BatchOptions(5, wait=0.2))
    def handler_in_a_thread(jobs):
        for job in jobs:
            if job.data % 10 == 3:
                job.mark_failed("three")
        return [job.data for job in jobs]

    jobs = await service.add_jobs("q", [("async", n) for n in range(100)])
    jobs += await service.add_jobs("q", [("thread", n) for n in range(20)])
    await service.run_until_idle(concurrency=70)
    assert sum(calls) == 100
    assert max(calls) == 50
    for job in jobs:
        ended = await job.refresh()
        if job.data % 10 == 3:
            assert (ended.state, ended.failures) == (JobState.FAILED, 1)
        else:
            assert (ended.state, ended.result) == (JobState.COMPLETED, job.data)
