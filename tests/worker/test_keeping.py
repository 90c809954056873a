"""Leases: renewed while their jobs run, given up when they cannot be."""

import asyncio
import contextlib
from typing import Any

import pytest

from jobyard import Job, JobState, LeaseLost
from jobyard.errors import StoreBusy
from jobyard.lease import Lease


def spy_on_extend(yard: Any) -> list[tuple[float, list[str]]]:
    calls: list[tuple[float, list[str]]] = []
    extend = yard.service.backend.extend

    async def spy(leases: list[Lease], *, ttl_ms: int) -> Any:
        calls.append((yard.now, [lease.job_id for lease in leases]))
        return await extend(leases, ttl_ms=ttl_ms)

    yard.service.backend.extend = spy
    return calls


async def long(job: Job) -> None:
    await asyncio.sleep(job.data)


async def test_a_job_five_times_as_long_as_its_lease_runs_once(yard: Any) -> None:
    yard.handle(yard.noting(long))
    calls = spy_on_extend(yard)
    job_id = await yard.add(44)

    async with yard.working(lease=9), yard.working(lease=9):
        record = await yard.until(job_id)

    assert (record.state, record.crashes, len(yard.starts)) == (JobState.COMPLETED, 0, 1)
    assert [at for at, _ in calls] == pytest.approx([3 * n for n in range(1, 15)], abs=0.05)


async def test_all_leases_are_renewed_in_one_call_and_short_runs_never(yard: Any) -> None:
    yard.handle(long)
    calls = spy_on_extend(yard)
    short = [await yard.add(2) for _ in range(5)]
    lasting = [await yard.add(4) for _ in range(5)]

    await yard.run_until([*short, *lasting], lease=9)

    assert calls == [(3, lasting)]


@pytest.mark.case("Z03")
async def test_a_lost_lease_cancels_its_run_and_nothing_is_settled(
    yard: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reasons: list[str | None] = []

    async def handler(job: Job) -> None:
        token = job.cancel_token
        try:
            await asyncio.sleep(100)
        finally:
            reasons.append(token.reason)

    yard.handle(handler)
    async with yard.working(lease=9) as worker:
        job_id = await yard.add(100)
        await yard.until(job_id, JobState.ACTIVE)
        await yard.service.complete_job(job_id)
        await asyncio.sleep(3)
        assert (worker.active, worker.stats.runs, worker.stats.released) == (0, 0, 0)

    assert (await yard.record(job_id)).state is JobState.COMPLETED
    assert reasons == ["lost"]
    assert "lease lost" in caplog.text


async def test_a_settle_that_comes_too_late_is_logged_and_counted(
    yard: Any, caplog: pytest.LogCaptureFixture
) -> None:
    yard.handle(long)
    async with yard.working(lease=90) as worker:
        job_id = await yard.add(1)
        await yard.until(job_id, JobState.ACTIVE)
        await yard.service.complete_job(job_id)
        await asyncio.sleep(3)
        assert (worker.stats.lost, worker.stats.completed) == (1, 0)
    assert "lease lost before the run could be settled" in caplog.text


@pytest.mark.case("F20", "Z04")
async def test_a_frozen_worker_can_neither_settle_nor_write(yard: Any) -> None:
    wrote: list[str] = []

    async def handler(job: Job) -> None:
        if job.crashes:
            return
        yard.loop.seconds += 100  # the whole process stands still
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.5)
        for write in (lambda: job.update_progress(1), lambda: job.log("x"), job.check_lease):
            with contextlib.suppress(LeaseLost):
                await write()
                wrote.append("wrote")

    yard.handle(handler)
    job_id = await yard.add()
    async with yard.working(lease=9) as frozen:
        await yard.until(job_id, JobState.ACTIVE)
        await yard.service.backend.reap(limit=10)
        async with yard.working(lease=9) as other:
            record = await yard.until(job_id)
            await asyncio.sleep(10)
            assert frozen.stats.completed + other.stats.completed == 1

    assert (record.state, record.crashes) == (JobState.COMPLETED, 1)
    assert wrote == []


@pytest.mark.case("N08")
async def test_extends_that_fail_are_repeated_soon(yard: Any) -> None:
    yard.handle(yard.noting(long))
    extend = yard.service.backend.extend
    times: list[float] = []

    async def failing(leases: list[Lease], *, ttl_ms: int) -> Any:
        times.append(yard.now)
        if len(times) < 4:
            raise StoreBusy
        return await extend(leases, ttl_ms=ttl_ms)

    yard.service.backend.extend = failing
    (record,) = await yard.run_until([await yard.add(20)], lease=9)

    assert (record.state, record.crashes) == (JobState.COMPLETED, 0)
    assert times[0] == pytest.approx(3, abs=0.1)
    assert times[3] < 4.5


@pytest.mark.case("N08")
async def test_a_lease_that_cannot_be_renewed_ends_its_run_in_time(yard: Any) -> None:
    ended: list[float] = []

    async def handler(job: Job) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append(yard.now)

    async def failing(leases: list[Lease], *, ttl_ms: int) -> Any:
        raise StoreBusy

    yard.handle(handler)
    yard.service.backend.extend = failing
    job_id = await yard.add()
    async with yard.working(lease=10) as worker:
        await yard.until(job_id, JobState.ACTIVE)
        await asyncio.sleep(9.5)
        assert worker.stats.released == 1

    assert ended[0] == pytest.approx(9, abs=0.1)
    assert (await yard.record(job_id)).crashes == 0


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_cancelled_run_ends_cancelled(yard: Any, stubborn: bool) -> None:
    async def handler(job: Job) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            if stubborn:
                raise ValueError from None
            raise

    yard.handle(handler)
    async with yard.working(lease=9):
        job_id = await yard.add(attempts=5)
        await yard.until(job_id, JobState.ACTIVE)
        await yard.service.cancel_job(job_id, running=True)
        record = await yard.until(job_id)

    assert record.state is JobState.CANCELLED
    assert yard.now == pytest.approx(3, abs=0.2)


async def test_a_run_that_returns_when_its_token_is_set_has_completed(yard: Any) -> None:
    async def handler(job: Job) -> str:
        await job.cancel_token.wait()
        return "part"

    yard.handle(handler)
    async with yard.working(lease=9):
        job_id = await yard.add()
        await yard.until(job_id, JobState.ACTIVE)
        await yard.service.cancel_job(job_id, running=True)
        record = await yard.until(job_id)

    assert (record.state, record.result) == (JobState.COMPLETED, b'"part"')


async def test_a_job_of_a_dead_worker_comes_back_within_lease_and_poll(yard: Any) -> None:
    from jobyard.lease import Claim, Source

    async def handler(job: Job) -> None: ...

    yard.handle(yard.noting(handler))
    await yard.add()
    await yard.service.backend.claim(
        Claim(lease_id="x", worker="dead", sources=(Source(queue="q"),), limit=1, ttl_ms=9_000)
    )
    async with yard.working(lease=9, poll_interval=1):
        await asyncio.sleep(20)

    assert 9 <= yard.starts[0] <= 10.2


async def test_a_poison_job_ends_as_a_crash_loop(yard: Any) -> None:
    from jobyard import Reason
    from jobyard.lease import Claim, Source

    job_id = await yard.add()
    async with yard.working():
        for turn in range(3):
            await yard.until(job_id, JobState.WAITING)
            source = Source(queue="q")
            await yard.service.backend.claim(
                Claim(lease_id=f"x{turn}", worker="d", sources=(source,), limit=1, ttl_ms=1_000)
            )
        record = await yard.until(job_id)

    assert (record.state, record.reason) == (JobState.FAILED, Reason.CRASH_LOOP)


async def test_old_records_are_swept(yard: Any) -> None:
    async def handler(job: Job) -> None: ...

    yard.handle(handler)
    async with yard.working() as worker:
        job_id = await yard.add()
        await yard.until(job_id)
        yard.loop.seconds += 24 * 3600 + 1
        await asyncio.sleep(130)
        assert await yard.service.backend.get([job_id]) == (None,)
        assert worker.is_running


@pytest.mark.case("F20")
async def test_a_handler_that_blocks_the_loop_is_named(
    yard: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(job: Job) -> None:
        if job.data == "later":
            await asyncio.sleep(0.1)
        yard.loop.seconds += 2

    yard.handle(handler)
    ids = [await yard.add("now"), await yard.add("later")]

    await yard.run_until(ids)

    told = [vars(r)["job_id"] for r in caplog.records if "blocked the event loop" in r.getMessage()]
    assert told == ids
