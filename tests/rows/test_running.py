"""K-040 to K-053: how runs end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from itertools import pairwise

import pytest
from tests.patience import PATIENCE

from jobyard import (
    Backoff,
    Discard,
    JobFailed,
    JobState,
    QueueService,
    Reason,
    Retry,
    Snooze,
    Unrecoverable,
)


@pytest.mark.parametrize("value", [0, False, "", None, {"a": [1]}, "text"], ids=repr)
async def test_k040_the_handlers_result_is_kept(service, record, value) -> None:
    seen = record(service, "completed")

    @service.handler("q", "n")
    async def n(job):
        return value

    job = await service.add_job("q", "n")
    await service.run_until_idle()
    stored = await job.refresh()
    assert stored.state is JobState.COMPLETED
    assert stored.result == value
    assert type(stored.result) is type(value)
    (event,) = await seen.until("completed")
    assert event.data == value
    assert type(event.data) is type(value)


async def test_k041_waiting_for_a_result(service: QueueService) -> None:
    gate = asyncio.Event()

    @service.handler("q", "good")
    async def good(job):
        await gate.wait()
        return 42

    @service.handler("q", "bad")
    async def bad(job):
        raise ValueError("no such user")

    job = await service.add_job("q", "good")
    failing = await service.add_job("q", "bad")
    with pytest.raises(TimeoutError):
        await job.wait(timeout=0.05)
    running = asyncio.create_task(service.worker().run())
    with pytest.raises(JobFailed, match="ValueError: no such user"):
        await failing.wait(timeout=PATIENCE)
    gate.set()
    assert await asyncio.gather(job.wait(timeout=PATIENCE), job.wait(timeout=PATIENCE)) == [42, 42]
    await service.close()
    await running


async def failing_job(service: QueueService, **options):
    runs: list[float] = []

    @service.handler("q", "n", replace=True)
    async def n(job):
        assert job.attempt == len(runs) + 1
        runs.append(time.monotonic())
        raise RuntimeError(f"run {len(runs)}")

    job = await service.add_job("q", "n", **options)
    running = asyncio.create_task(service.worker(poll_interval=0.1).run())
    with pytest.raises(JobFailed):
        await job.wait(timeout=PATIENCE)
    await service.close()
    await running
    return job, runs


@pytest.mark.parametrize("options", [{"attempts": 3}, {"retries": 2}], ids=str)
async def test_k042_k043_attempts_are_the_total_of_runs(service, make, options) -> None:
    keeper = await make()
    job, runs = await failing_job(service, backoff=0, **options)
    assert len(runs) == 3
    ended = await keeper.get_job(job.id)
    assert (ended.state, ended.reason) == (JobState.FAILED, Reason.EXHAUSTED)
    assert ended.failures == 3
    assert ended.error.message == "run 3"


async def test_k044_fixed_backoff(service: QueueService) -> None:
    _, runs = await failing_job(service, attempts=3, backoff=Backoff.fixed(0.2))
    gaps = [b - a for a, b in pairwise(runs)]
    assert all(gap >= 0.19 for gap in gaps), gaps


async def test_k045_exponential_backoff(service: QueueService) -> None:
    backoff = Backoff.exponential(0.1, factor=2, max=0.3, jitter=0)
    _, runs = await failing_job(service, attempts=4, backoff=backoff)
    gaps = [b - a for a, b in pairwise(runs)]
    assert all(gap >= least - 0.01 for gap, least in zip(gaps, [0.1, 0.2, 0.3], strict=True)), gaps


@pytest.mark.parametrize("error", [Unrecoverable("gone"), Discard("not wanted")], ids=repr)
async def test_k047_no_further_run_when_none_would_help(service, error) -> None:
    runs = []

    @service.handler("q", "n")
    async def n(job):
        runs.append(job.attempt)
        raise error

    job = await service.add_job("q", "n", attempts=5, backoff=0)
    await service.run_until_idle()
    ended = await job.refresh()
    assert runs == [1]
    assert (ended.state, ended.reason) == (JobState.FAILED, Reason.REFUSED)
    assert ended.error.message == str(error)


async def test_k048_mark_failed_counts_as_a_failure(service: QueueService) -> None:
    runs = []

    @service.handler("q", "n")
    async def n(job):
        runs.append(job.attempt)
        if job.attempt == 1:
            job.mark_failed("half done")
        return "ignored" if job.attempt == 1 else "whole"

    job = await service.add_job("q", "n", attempts=2, backoff=0)
    await service.run_until_idle()
    ended = await job.refresh()
    assert runs == [1, 2]
    assert (ended.state, ended.result, ended.failures) == (JobState.COMPLETED, "whole", 1)


async def test_retry_and_snooze_steer_the_job(service: QueueService) -> None:
    runs = []

    @service.handler("q", "n")
    async def n(job):
        runs.append(job.attempt)
        if len(runs) == 1:
            raise Snooze(0.05)
        if len(runs) == 2:
            raise Retry(delay=0)
        return "done"

    job = await service.add_job("q", "n", attempts=2, backoff=3600)
    running = asyncio.create_task(service.worker(poll_interval=0.1).run())
    assert await job.wait(timeout=PATIENCE) == "done"
    assert runs == [1, 1, 2]
    await service.close()
    await running


class Hostile(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message for you")


async def test_k049_errors_are_stored_whatever_they_are(service: QueueService) -> None:
    def nested(depth: int) -> None:
        if depth:
            nested(depth - 1)
        raise ValueError("deep")

    @service.handler("q", "group")
    async def group(job):
        raise BaseExceptionGroup("several", [ValueError("one"), KeyError("two")])

    @service.handler("q", "hostile")
    async def hostile(job):
        raise Hostile

    @service.handler("q", "deep")
    async def deep(job):
        nested(100)

    @service.handler("q", "huge")
    async def huge(job):
        raise ValueError("\x00\ud800" + "x" * 1_000_000)

    jobs = {name: await service.add_job("q", name) for name in ("group", "hostile", "huge")}
    short = await service.add_job("q", "deep", stack_limit=2)
    none = await service.add_job("q", "deep", stack_limit=0)
    await service.run_until_idle()
    errors = {name: (await job.refresh()).error for name, job in jobs.items()}
    assert errors["group"].type == "ExceptionGroup"
    assert "KeyError" in errors["group"].traceback
    assert errors["hostile"].type.endswith("Hostile")
    assert "could not be had" in errors["hostile"].message
    assert len(errors["huge"].message) < 3_000
    assert (await short.refresh()).error.traceback.count("in nested") == 2
    assert (await none.refresh()).error.traceback == ""


async def test_k050_a_run_past_its_timeout_is_cancelled_and_retried(service) -> None:
    cancelled = []

    @service.handler("q", "n")
    async def n(job):
        if job.attempt == 2:
            return "quick"
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(job.attempt)
            raise

    job = await service.add_job("q", "n", timeout=0.1, attempts=2, backoff=0)
    await service.run_until_idle()
    ended = await job.refresh()
    assert cancelled == [1]
    assert (ended.result, ended.failures) == ("quick", 1)


async def test_k051_a_run_past_its_timeout_may_stall(service, record) -> None:
    seen = record(service)

    @service.handler("q", "n")
    async def n(job):
        await asyncio.sleep(30)

    job = await service.add_job("q", "n", timeout=0.05, attempts=5, on_timeout="stall")
    await service.run_until_idle()
    assert (await job.refresh()).state is JobState.STALLED
    await seen.until("stalled")
    await job.retry()
    assert (await job.refresh()).state is JobState.WAITING


async def test_k052_timeouts_are_exact_below_a_second(service: QueueService) -> None:
    @service.handler("q", "quarter")
    async def quarter(job):
        await asyncio.sleep(600)

    @service.handler("q", "none")
    async def none(job):
        await asyncio.sleep(0.4)
        return "through"

    limited = await service.add_job("q", "quarter", timeout=0.25)
    free = await service.add_job("q", "none", timeout=None)
    await service.run_until_idle()
    ended = await limited.refresh()
    assert "0.25" in ended.error.message
    ran = (ended.finished_at - ended.started_at).total_seconds()
    assert 0.24 <= ran < 600
    assert (await free.refresh()).result == "through"


async def test_k053_a_job_past_its_ttl_ends_expired(service: QueueService) -> None:
    started = asyncio.Event()

    @service.handler("q", "slow")
    async def slow(job):
        started.set()
        await asyncio.sleep(60)

    @service.handler("q", "quick")
    async def quick(job):
        return "kept"

    await service.pause_queue("held")
    waiting = await service.add_job("held", "quick", ttl=0.3)
    delayed = await service.add_job("q", "quick", ttl=0.3, delay=3600)
    done = await service.add_job("q", "quick", ttl=600)
    work = asyncio.create_task(service.worker(poll_interval=0.1).run())
    ttls = iter((0.5, 5, 50))
    while True:
        running = await service.add_job("q", "slow", ttl=next(ttls), attempts=3)
        with contextlib.suppress(JobFailed):
            await first_of(started.wait(), running.wait())
        if started.is_set():
            break  # else it ended before it began: this machine needs longer
    for job in (waiting, delayed, running):
        with pytest.raises(JobFailed, match="expired"):
            await job.wait(timeout=PATIENCE)
        ended = await job.refresh()
        assert (ended.state, ended.reason) == (JobState.FAILED, Reason.EXPIRED)
    assert (await done.refresh()).result == "kept"
    await service.close()
    await work


async def first_of(*waits) -> None:
    """Wait until one of them comes to its end; raises what it raised."""
    async with asyncio.timeout(PATIENCE):
        tasks = [asyncio.ensure_future(each) for each in waits]
        ended, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for other in others:
        other.cancel()
    for each in ended:
        each.result()


async def test_dead_letters_end_dead(service: QueueService) -> None:
    @service.handler("q", "n")
    async def n(job):
        raise ValueError

    job = await service.add_job("q", "n", dead_letter=True)
    await service.run_until_idle()
    assert (await job.refresh()).state is JobState.DEAD


@pytest.mark.case("R11")
async def test_a_result_that_cannot_be_stored_fails_the_job(service: QueueService) -> None:
    @service.handler("q", "odd")
    async def odd(job):
        return {1, 2}

    @service.handler("q", "large")
    async def large(job):
        return "x" * 100_000

    jobs = [await service.add_job("q", name, attempts=3, backoff=0) for name in ("odd", "large")]
    await service.run_until_idle()
    for job, word in zip(jobs, ("set", "65,536"), strict=True):
        ended = await job.refresh()
        assert ended.state is JobState.FAILED
        assert word in ended.error.message


async def test_b07_handlers_of_every_kind_in_one_worker(service: QueueService) -> None:
    import os
    import threading

    @service.handler("q", "async")
    async def coroutine(job):
        return [os.getpid(), threading.get_ident()]

    @service.handler("q", "thread")
    def thread(job):
        job.update_progress(50)
        job.log("half way")
        return [os.getpid(), threading.get_ident()]

    service.register_worker("q", "process", os.getpid, kind="process")
    jobs = {n: await service.add_job("q", n) for n in ("async", "thread", "process")}
    await service.run_until_idle()
    results = {name: (await job.refresh()).result for name, job in jobs.items()}
    assert results["async"][0] == results["thread"][0] == os.getpid()
    assert results["async"][1] == threading.get_ident() != results["thread"][1]
    assert results["process"] != os.getpid()
    thread_job = await jobs["thread"].refresh()
    assert thread_job.progress == 50
    assert await thread_job.logs() == ["half way"]


async def test_k046_no_backoff_never_runs_a_job_twice_at_once(make) -> None:
    running: set[str] = set()
    runs = []

    async def n(job):
        assert job.id not in running
        running.add(job.id)
        runs.append(job.id)
        await asyncio.sleep(0.001)
        running.remove(job.id)
        raise ValueError

    services = [await make() for _ in range(4)]
    for service in services:
        service.register_worker("q", "n", n)
    jobs = await services[0].add_jobs("q", [("n", n) for n in range(20)], attempts=10, backoff=0)
    work = [asyncio.create_task(s.worker(poll_interval=0.05).run()) for s in services]
    for job in jobs:
        with pytest.raises(JobFailed, match="ValueError"):
            await job.wait(timeout=PATIENCE)
    assert sorted(runs) == sorted(job.id for job in jobs for _ in range(10))
    await asyncio.gather(*(service.close() for service in services), *work)


async def test_k056_a_job_longer_than_its_lease_runs_once(make, caplog) -> None:
    """A machine that stalls for longer than a lease loses it: then a longer one has to hold."""
    runs = [await runs_of_a_job_longer_than(0.3, make, caplog)]
    for lease in (3, 12, 36):
        if runs[-1] > 1:
            runs.append(await runs_of_a_job_longer_than(lease, make, caplog))
    assert runs[-1] == 1


async def runs_of_a_job_longer_than(lease: float, make, caplog) -> int:
    """Tell how often a job ran that needs its lease renewed four times."""
    caplog.clear()
    service, other = await make(), await make()
    runs = []

    async def n(job):
        runs.append(job.fence)
        await asyncio.sleep(5 * lease / 3)
        return "once"

    for each in (service, other):
        each.register_worker("q", "n", n)
    job = await service.add_job("q", "n", max_crashes=100)
    work = [
        asyncio.create_task(each.worker(lease=lease, poll_interval=0.05).run())
        for each in (service, other)
    ]
    assert await job.wait(timeout=PATIENCE) == "once"
    # A worker that could not renew a lease in time may give the job back before it is taken back.
    cut = sum("could not be renewed in time" in message for message in caplog.messages)
    crashes = (await job.refresh()).crashes
    assert crashes <= len(runs) - 1 <= crashes + cut
    await asyncio.gather(service.close(), other.close(), *work)
    return len(runs)
