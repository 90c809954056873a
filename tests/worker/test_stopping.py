"""Stopping: what runs may end, what does not is given back, nothing is left."""

import asyncio
import contextlib
import logging
import signal
from typing import Any

import pytest

from jobyard import Job, JobState, QueueService, Snooze
from jobyard.errors import BackendClosed, WrongState


async def long(job: Job) -> str:
    await asyncio.sleep(job.data)
    return "whole"


async def start(yard: Any, worker: Any, *seconds: float, **options: Any) -> Any:
    """Runs a worker until the jobs of these lengths are active."""
    ids = [await yard.add(length, **options) for length in seconds]
    task = asyncio.create_task(worker.run())
    for job_id in ids:
        await yard.until(job_id, JobState.ACTIVE)
    return task, ids


async def test_a_stop_lets_runs_end_and_claims_no_more(yard: Any) -> None:
    yard.handle(long)
    worker = yard.worker(concurrency=2)
    task, ids = await start(yard, worker, 3, 5)
    waiting = await yard.add(1)

    await worker.stop()

    assert task.done()
    assert yard.now == pytest.approx(5, abs=0.1)
    assert [(await yard.record(one)).state for one in ids] == [JobState.COMPLETED] * 2
    assert (await yard.record(waiting)).state is JobState.WAITING
    assert worker.active == 0


async def test_a_stop_by_its_deadline_gives_the_job_and_its_attempt_back(yard: Any) -> None:
    yard.handle(long)
    worker = yard.worker()
    _, (job_id,) = await start(yard, worker, 100)

    await worker.stop(timeout=1)

    record = await yard.record(job_id)
    assert (record.state, record.failures, record.crashes) == (JobState.WAITING, 0, 0)
    assert yard.now == pytest.approx(1, abs=0.1)
    assert worker.stats.released == 1


async def test_a_run_that_watches_its_token_ends_by_itself(yard: Any) -> None:
    async def handler(job: Job) -> str:
        await job.cancel_token.wait()
        await asyncio.sleep(2)
        return str(job.cancel_token.reason)

    yard.handle(handler)
    worker = yard.worker(shutdown_timeout=30)
    _, (job_id,) = await start(yard, worker, 0)

    await worker.stop(timeout=1)

    record = await yard.record(job_id)
    assert (record.state, record.result) == (JobState.COMPLETED, b'"shutdown"')
    assert yard.now == pytest.approx(3, abs=0.1)


async def test_a_run_that_watches_its_token_in_vain_is_cut_at_the_shutdown_timeout(
    yard: Any,
) -> None:
    async def handler(job: Job) -> None:
        await job.cancel_token.wait()
        await asyncio.sleep(1000)

    yard.handle(handler)
    worker = yard.worker(shutdown_timeout=10)
    _, (job_id,) = await start(yard, worker, 0)

    await worker.stop(timeout=1)

    assert (await yard.record(job_id)).state is JobState.WAITING
    assert yard.now == pytest.approx(10, abs=0.1)


@pytest.mark.case("F14")
async def test_a_second_stop_cancels_at_once(yard: Any) -> None:
    yard.handle(long)
    worker = yard.worker()
    _, (job_id,) = await start(yard, worker, 100)

    first = asyncio.create_task(worker.stop())
    await asyncio.sleep(2)
    await worker.stop()
    await first

    assert (await yard.record(job_id)).state is JobState.WAITING
    assert yard.now == pytest.approx(2, abs=0.1)


@pytest.mark.case("F21")
async def test_a_run_that_swallows_everything_does_not_hinder_the_end(
    yard: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(job: Job) -> None:
        for _ in range(10):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(20)

    yard.handle(handler)
    worker = yard.worker()
    _, (job_id,) = await start(yard, worker, 0)

    asyncio.get_running_loop().call_later(1, worker.begin_stop)
    await worker.stop()

    assert (await yard.record(job_id)).state is JobState.WAITING
    assert worker.stats.stuck == 1
    assert "does not end when cancelled" in caplog.text
    await asyncio.sleep(1000)
    assert worker.stats.stuck == 0


async def test_what_a_handler_says_while_the_worker_stops_counts(yard: Any) -> None:
    async def handler(job: Job) -> None:
        await job.cancel_token.wait()
        raise Snooze(100) if job.data == "snooze" else ValueError

    yard.handle(handler)
    worker = yard.worker()
    snooze, error = await yard.add("snooze"), await yard.add("error", attempts=2)
    task = asyncio.create_task(worker.run())
    await yard.until(snooze, JobState.ACTIVE)

    await worker.stop(timeout=0)
    await task

    assert (await yard.record(snooze)).state is JobState.DELAYED
    record = await yard.record(error)
    assert (record.state, record.failures) == (JobState.WAITING, 0)


@pytest.mark.case("A04")
async def test_cancelling_run_releases_everything(yard: Any) -> None:
    yard.handle(long)
    worker = yard.worker()
    task, ids = await start(yard, worker, 100, 100)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [(await yard.record(one)).state for one in ids] == [JobState.WAITING] * 2
    assert worker.stats.released == 2


@pytest.mark.case("A04")
async def test_cancelling_run_twice_does_not_hang(yard: Any) -> None:
    yard.handle(long)
    worker = yard.worker()
    task, (job_id,) = await start(yard, worker, 100)

    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert (await yard.record(job_id)).state is JobState.WAITING


async def test_a_worker_stopped_before_it_runs_does_not_run(yard: Any) -> None:
    yard.handle(long)
    job_id = await yard.add(0)
    worker = yard.worker()

    await worker.stop()
    await worker.run()

    assert (await yard.record(job_id)).state is JobState.WAITING


async def test_a_worker_runs_once(yard: Any) -> None:
    worker = yard.worker()
    task = asyncio.create_task(worker.run())
    await asyncio.sleep(1)
    with pytest.raises(WrongState):
        await worker.run()
    await worker.stop()
    await task
    await worker.stop()


async def test_a_closed_backend_ends_the_worker_with_its_error(yard: Any) -> None:
    yard.handle(long)
    worker = yard.worker()
    task, _ = await start(yard, worker, 100)

    await yard.service.backend.close()
    await asyncio.wait([task])

    with pytest.raises(BackendClosed):
        task.result()


async def test_a_handler_may_stop_its_worker(yard: Any) -> None:
    async def handler(job: Job) -> None:
        worker.begin_stop()

    yard.handle(handler)
    worker = yard.worker()
    job_id = await yard.add()

    await worker.run()

    assert (await yard.record(job_id)).state is JobState.COMPLETED


async def test_a_stopped_worker_is_not_listed(yard: Any) -> None:
    async with yard.working(name="w") as worker:
        await asyncio.sleep(1)
        (listed,) = await yard.service.list_workers()
        assert (listed.id, listed.state, listed.queues) == (worker.id, "running", ())
        await asyncio.sleep(100)
        assert len(await yard.service.list_workers()) == 1
    assert await yard.service.list_workers() == []


async def test_ctrl_c_in_a_handler_ends_the_worker_and_gives_the_job_back(
    yard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(job: Job) -> None:
        await asyncio.sleep(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(signal, "getsignal", lambda _: signal.default_int_handler)
    yard.handle(handler)
    job_id = await yard.add()
    task = asyncio.create_task(worker_run(yard.worker()))

    assert isinstance(await task, KeyboardInterrupt)
    record = await yard.record(job_id)
    assert (record.state, record.failures) == (JobState.WAITING, 0)


async def worker_run(worker: Any) -> BaseException | None:
    try:
        await worker.run()
    except BaseException as error:
        return error
    return None


async def test_runs_are_logged_with_their_facts(
    yard: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(job: Job) -> None:
        if job.data == "secret":
            raise ValueError("first\nsecond \x1b[31m")

    caplog.set_level(logging.DEBUG, "jobyard.worker")
    yard.handle(handler)
    bad = await yard.add("secret", attempts=2, backoff=0)
    good = await yard.add("well")
    await yard.run_until([bad, good])

    seen = {
        (record.levelname, *map(vars(record).get, ("job_id", "job_name", "queue", "attempt")))
        for record in caplog.records
        if hasattr(record, "job_id")
    }
    assert {
        ("DEBUG", good, "job", "q", 1),
        ("WARNING", bad, "job", "q", 1),
        ("ERROR", bad, "job", "q", 2),
    } <= seen
    assert "secret" not in caplog.text
    assert "well" not in caplog.text
    assert "first\\nsecond \\x1b[31m" in caplog.text


async def test_a_worker_runs_beside_a_block_and_stops_at_its_end(yard: Any) -> None:
    yard.handle(long)
    job_id = await yard.add(3)

    async with yard.worker() as worker:
        await yard.until(job_id, JobState.ACTIVE)
        assert worker.is_running

    assert (worker.is_running, worker.stats.runs) == (False, 1)
    assert (await yard.record(job_id)).state is JobState.COMPLETED


async def test_what_a_block_raises_stops_the_worker_and_goes_on(yard: Any) -> None:
    worker = yard.worker()
    with pytest.raises(ValueError, match="of the block"):
        async with worker:
            raise ValueError("of the block")

    assert not worker.is_running
    with pytest.raises(WrongState):
        await worker.__aenter__()


async def test_what_ends_a_worker_comes_out_of_its_block(yard: Any) -> None:
    async with QueueService("memory://") as service:
        service.register_worker("q", "job", long)
        with pytest.raises(BackendClosed):
            async with service.worker() as worker:
                await (await service.add_job("q", "job", 0)).wait()
                await service.backend.close()
                while worker.is_running:
                    await asyncio.sleep(0.01)


async def test_a_block_that_ends_at_once_starts_nothing(yard: Any) -> None:
    async with yard.worker() as worker:
        pass

    assert not worker.is_running
