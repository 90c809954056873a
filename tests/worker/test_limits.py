"""Time limits: of one run, of a job's life, of patience with a handler."""

import asyncio
import contextlib
from typing import Any

import pytest

from jobyard import Job, JobState, Reason


async def forever(job: Job) -> None:
    await asyncio.sleep(100)


@pytest.mark.parametrize("timeout", [0.5, 0.25, 0.001, 20])
async def test_a_run_over_its_time_fails_and_is_tried_again(yard: Any, timeout: float) -> None:
    yard.handle(yard.noting(forever))
    job_id = await yard.add(timeout=timeout, attempts=2, backoff=1)

    (record,) = await yard.run_until([job_id])

    assert yard.starts == pytest.approx([0, timeout + 1], abs=0.002)
    assert (record.state, record.failures) == (JobState.FAILED, 2)
    error = await yard.error(job_id)
    assert (error.type, error.message) == ("TimeoutError", f"ran longer than {timeout:g} s")
    assert "in forever" in error.traceback


async def test_without_a_timeout_a_run_may_last(yard: Any) -> None:
    yard.handle(forever)

    (record,) = await yard.run_until([await yard.add()])

    assert (record.state, yard.now) == (JobState.COMPLETED, pytest.approx(100, abs=1))


async def test_a_run_over_its_time_may_stall_instead(yard: Any) -> None:
    yard.handle(yard.noting(forever))
    job_id = await yard.add(timeout=0.5, on_timeout="stall", attempts=5)
    async with yard.working():
        record = await yard.until(job_id)
        await asyncio.sleep(100)
        assert len(yard.starts) == 1
        assert (record.state, record.failures) == (JobState.STALLED, 1)
        await yard.service.retry_job(job_id)
        await yard.until(job_id, JobState.ACTIVE)
        await yard.until(job_id)

    assert len(yard.starts) == 2


@pytest.mark.case("A05")
async def test_a_timeout_of_the_handler_is_not_the_jobs(yard: Any) -> None:
    async def handler(job: Job) -> None:
        async with asyncio.timeout(job.data):
            await asyncio.sleep(100)

    yard.handle(handler)
    own = await yard.add(1, timeout=2)
    both = await yard.add(2, timeout=2)
    jobs = await yard.add(3, timeout=2)

    await yard.run_until([own, both, jobs])

    assert (await yard.error(own)).message == ""
    assert (await yard.error(both)).message == "ran longer than 2 s"
    assert (await yard.error(jobs)).message == "ran longer than 2 s"


async def test_a_handler_may_catch_its_own_timeout_under_the_jobs(yard: Any) -> None:
    async def handler(job: Job) -> str:
        try:
            async with asyncio.timeout(1):
                await asyncio.sleep(100)
        except TimeoutError:
            await asyncio.sleep(0.5)
        return "went on"

    yard.handle(handler)

    (record,) = await yard.run_until([await yard.add(timeout=2)])

    assert record.result == b'"went on"'


async def test_a_time_limit_stands_whatever_the_handler_makes_of_it(yard: Any) -> None:
    async def handler(job: Job) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            if job.data == "raises":
                raise ValueError from None

    yard.handle(handler)
    ids = [await yard.add("returns", timeout=1), await yard.add("raises", timeout=1)]

    await yard.run_until(ids)

    for job_id in ids:
        assert (await yard.error(job_id)).message == "ran longer than 1 s"


async def test_a_job_past_its_time_to_live_is_stopped(yard: Any) -> None:
    yard.handle(forever)
    job_id = await yard.add(ttl=2, attempts=5)

    (record,) = await yard.run_until([job_id])

    assert (record.state, record.reason) == (JobState.FAILED, Reason.EXPIRED)
    assert yard.now == pytest.approx(2, abs=1)


async def test_a_success_before_the_time_to_live_ends_stands(yard: Any) -> None:
    async def handler(job: Job) -> None: ...

    yard.handle(handler)
    job_id = await yard.add(ttl=2)
    async with yard.working():
        await asyncio.sleep(10)
        assert (await yard.record(job_id)).state is JobState.COMPLETED


@pytest.mark.case("F21")
async def test_a_handler_that_swallows_its_cancellation_is_left_behind(yard: Any) -> None:
    async def handler(job: Job) -> None:
        if job.data == "good":
            return
        end = yard.now + 60
        while yard.now < end:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    yard.handle(handler)
    bad = await yard.add("bad", timeout=1)
    async with yard.working(concurrency=1) as worker:
        record = await yard.until(bad)
        assert (yard.now, worker.stats.stuck) == (pytest.approx(6, abs=0.01), 1)
        good = await yard.until(await yard.add("good"))
        await asyncio.sleep(100)
        assert worker.stats.stuck == 0
        await yard.until(await yard.add("bad", timeout=1))
        assert worker.stats.stuck == 1
        assert len(worker._slots._lost) == 1  # those that came back are forgotten
        await asyncio.sleep(100)

    assert (await yard.error(bad)).message == "ran longer than 1 s"
    assert (record.state, good.state) == (JobState.FAILED, JobState.COMPLETED)
