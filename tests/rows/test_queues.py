"""K-090 to K-095 and K-140 to K-143: queues, concurrency, numbers."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from tests.patience import PATIENCE

from jobyard import QueueService
from jobyard.errors import HandlerExists, QueueNotFound


class Gauge:
    """Counts how many handlers run at once."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    async def __aenter__(self) -> None:
        self.now += 1
        self.peak = max(self.peak, self.now)

    async def __aexit__(self, *_: object) -> None:
        self.now -= 1


async def test_k090_a_pause_holds_everywhere(make, eventually) -> None:
    one, other = await make(), await make()
    release = asyncio.Event()

    async def n(job):
        await release.wait()

    other.register_worker("q", "n", n)
    work = asyncio.create_task(other.worker(poll_interval=0.05).run())
    running = await one.add_job("q", "n")

    async def is_active() -> bool:
        return (await one.get_stats("q")).active == 1

    await eventually(is_active)
    await one.pause_queue("q")
    await one.pause_queue("q")
    held = [await one.add_job("q", "n") for _ in range(3)]
    release.set()
    await running.wait(timeout=PATIENCE)
    stats = await (await make()).get_stats("q")
    assert (stats.is_paused, stats.waiting, stats.paused) == (True, 3, 3)
    await one.resume_queue("q")
    await asyncio.gather(*(job.wait(timeout=PATIENCE) for job in held))
    assert (await one.get_stats("q")).paused == 0
    await other.close()
    await work


async def test_k091_a_worker_pauses_alone(service: QueueService) -> None:
    ran = []

    @service.handler("q", "n")
    async def n(job):
        ran.append(job.data)

    resting, busy = service.worker(poll_interval=0.05), service.worker(poll_interval=0.05)
    resting.pause()
    tasks = [asyncio.create_task(worker.run()) for worker in (resting, busy)]
    job = await service.add_job("q", "n", 1)
    await job.wait(timeout=PATIENCE)
    await busy.stop()
    second = await service.add_job("q", "n", 2)
    with pytest.raises(TimeoutError):
        await second.wait(timeout=0.3)
    resting.resume()
    await second.wait(timeout=PATIENCE)
    await service.close()
    await asyncio.gather(*tasks)


async def test_k092_concurrency(service: QueueService) -> None:
    gauge = Gauge()

    @service.handler("q", "n")
    async def n(job):
        async with gauge:
            await asyncio.sleep(0.01)

    await service.add_jobs("q", [("n", n) for n in range(20)])
    await service.run_until_idle(concurrency=3)
    assert gauge.peak == 3


async def test_k093_concurrency_by_name(service: QueueService) -> None:
    gauges = {"one": Gauge(), "four": Gauge()}

    async def work(job):
        async with gauges[job.name]:
            await asyncio.sleep(0.01)

    service.register_worker("q", "one", work, concurrency=1)
    service.register_worker("q", "four", work, concurrency=4)
    await service.add_jobs("q", [(name, n) for n in range(12) for name in gauges])
    await service.run_until_idle(concurrency=10)
    assert {name: gauge.peak for name, gauge in gauges.items()} == {"one": 1, "four": 4}


async def test_k095_throughput_does_not_hang_on_the_poll(service: QueueService) -> None:
    async def n(job):
        return None

    service.register_worker("q", "n", n)
    work = asyncio.create_task(service.worker(concurrency=5, poll_interval=20).run())
    jobs = await service.add_jobs("q", [("n", n) for n in range(200)])
    await jobs[-1].wait(timeout=PATIENCE)  # with a poll for each batch it would be 800 s
    await service.close()
    await work


def test_k028_a_second_handler_must_say_replace(url: str) -> None:
    service = QueueService(url)

    async def n(job):
        return None

    service.register_worker("q", "n", n)
    with pytest.raises(HandlerExists, match="replace=True"):
        service.register_worker("q", "n", n)
    service.register_worker("q", "n", n, replace=True)


async def test_k140_stats_from_a_process_that_never_made_the_queue(make) -> None:
    service = await make()
    await service.add_jobs("q", [("n", n, {"priority": n % 3}) for n in range(30)])
    await service.add_job("q", "n", delay=60)
    await service.pause_queue("q")
    stats = await (await make()).get_stats("q")
    assert (stats.waiting, stats.delayed, stats.paused, stats.total) == (30, 1, 30, 31)
    assert stats.oldest_wait is not None
    assert 0 <= stats.oldest_wait < PATIENCE
    with pytest.raises(QueueNotFound):
        await service.get_stats("nowhere")


async def test_k141_metrics(make, eventually) -> None:
    service, other = await make(), await make()
    gate = asyncio.Event()

    async def n(job):
        await gate.wait()
        await asyncio.sleep(0.02)
        if job.data == "bad":
            raise ValueError("bad")

    for each in (service, other):
        each.register_worker("q", "n", n)
    await service.add_jobs("q", [("n", "good")] * 10)
    await service.add_jobs("q", [("n", "bad")] * 5)
    work = [
        asyncio.create_task(each.worker(concurrency=4, poll_interval=0.05).run())
        for each in (service, other)
    ]

    async def eight_run() -> bool:
        return (await service.get_metrics("q")).current_concurrency == 8

    await eventually(eight_run)
    gate.set()

    async def all_done() -> bool:
        return (await service.get_metrics("q")).processed == 15

    await eventually(all_done)
    await asyncio.gather(service.close(), other.close(), *work)


async def test_k141_metrics_survive_everyone(make) -> None:
    keeper, service = await make(), await make()

    async def n(job):
        await asyncio.sleep(0.02)
        if job.data == "bad":
            raise ValueError("bad")

    service.register_worker("q", "n", n)
    await service.add_jobs("q", [("n", "good")] * 10 + [("n", "bad")] * 5)
    begun = time.monotonic()
    await service.run_until_idle(concurrency=4)
    took = time.monotonic() - begun
    await service.close()
    metrics = await (await make()).get_metrics("q", window=3_600)
    assert (metrics.completed, metrics.failed, metrics.processed) == (10, 5, 15)
    assert metrics.success_rate == pytest.approx(10 / 15)
    assert metrics.average_seconds is not None
    assert 0.015 < metrics.average_seconds <= took, "seconds, not milliseconds"
    assert metrics.peak_concurrency == 4
    assert metrics.current_concurrency == 0
    assert metrics.throughput == pytest.approx(15 / metrics.window)
    await keeper.close()


async def test_k142_workers_are_listed_while_they_live(make, eventually) -> None:
    service, other = await make(), await make()

    async def n(job):
        return None

    service.register_worker("q", "n", n)
    worker = service.worker(name="alpha", concurrency=7)
    work = asyncio.create_task(worker.run())

    async def listed() -> bool:
        return [each.id for each in await other.list_workers()] == [worker.id]

    await eventually(listed)
    (seen,) = await other.list_workers()
    assert "alpha" in seen.id
    assert (seen.queues, seen.concurrency) == (("q",), 7)
    await service.close()
    await work
    assert await other.list_workers() == []


async def test_k143_a_run_is_logged_without_its_payload(service, caplog) -> None:
    caplog.set_level(logging.DEBUG, logger="jobyard")

    async def n(job):
        if job.attempt == 1:
            raise ValueError("first\nline two")

    service.register_worker("q", "n", n)
    job = await service.add_job("q", "n", {"secret": "hunter2"}, attempts=2, backoff=0)
    await service.run_until_idle()
    runs = [r for r in caplog.records if getattr(r, "job_id", None) == job.id]
    assert {r.attempt for r in runs} == {1, 2}
    assert {r.job_name for r in runs} == {"n"}
    assert all("\n" not in r.getMessage() for r in runs)
    assert "hunter2" not in caplog.text
