"""K-150 to K-156: stopping and surviving."""

from __future__ import annotations

import asyncio

import pytest
from tests.patience import PATIENCE

from jobyard import JobState, QueueService
from jobyard.errors import StoreBusy


async def started_job(service: QueueService, body):
    started = asyncio.Event()

    @service.handler("q", "n")
    async def n(job):
        started.set()
        return await body(job)

    job = await service.add_job("q", "n", attempts=1)
    worker = service.worker(poll_interval=0.05)
    task = asyncio.create_task(worker.run())
    await asyncio.wait_for(started.wait(), PATIENCE)
    return job, worker, task


@pytest.mark.case("F12")
async def test_k150_a_graceful_stop_lets_runs_end(service: QueueService) -> None:
    release = asyncio.Event()

    async def body(job):
        await release.wait()
        return "whole"

    job, worker, task = await started_job(service, body)
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0)
    later = await service.add_job("q", "n")
    release.set()
    await stopping
    await task
    assert (await job.refresh()).result == "whole"
    assert (await later.refresh()).state is JobState.WAITING
    assert (await service.get_stats("q")).active == 0


@pytest.mark.case("F13")
async def test_k151_past_the_deadline_the_job_is_given_back(service: QueueService) -> None:
    async def body(job):
        await asyncio.sleep(60)

    job, worker, task = await started_job(service, body)
    await worker.stop(timeout=0.05)
    await task
    given_back = await job.refresh()
    assert given_back.state is JobState.WAITING
    assert (given_back.failures, given_back.crashes) == (0, 0)


async def test_k152_a_handler_may_end_early_and_its_result_counts(service) -> None:
    async def body(job):
        await job.cancel_token.wait()
        return f"ended early: {job.cancel_token.reason}"

    job, worker, task = await started_job(service, body)
    await worker.stop(timeout=0.05)
    await task
    assert (await job.refresh()).result == "ended early: shutdown"


async def test_k156_a_worker_survives_a_failing_store_without_spinning(service) -> None:
    calls: list[float] = []
    four_calls = asyncio.Event()
    settle, claim = service.backend.settle, service.backend.claim

    async def failing(*args, **rest):
        calls.append(asyncio.get_running_loop().time())
        if len(calls) == 4:
            four_calls.set()
        raise StoreBusy

    ran = asyncio.Event()

    @service.handler("q", "n")
    async def n(job):
        ran.set()

    service.backend.settle = service.backend.claim = failing
    task = asyncio.create_task(service.worker(poll_interval=0.05).run())
    await asyncio.wait_for(four_calls.wait(), PATIENCE)
    assert calls[3] - calls[0] > 0.2
    service.backend.settle, service.backend.claim = settle, claim
    job = await service.add_job("q", "n")
    await asyncio.wait_for(ran.wait(), PATIENCE)
    await job.wait(timeout=PATIENCE)
    await service.close()
    await task
