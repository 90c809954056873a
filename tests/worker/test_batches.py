"""Batches: several jobs in a call, each a run of its own."""

from __future__ import annotations

import asyncio

import pytest

from jobyard import BatchOptions, Discard, JobState, Reason, Retry, Snooze
from jobyard.errors import ConfigError, InvalidOption


async def test_a_full_batch_is_called_at_once(yard) -> None:
    calls = []

    async def handler(jobs):
        calls.append((yard.now, [job.data for job in jobs]))
        return [job.data * 10 for job in jobs]

    yard.handle(handler, batch=BatchOptions(3, wait=5))
    ids = [await yard.add(n) for n in range(6)]
    records = await yard.run_until(ids, concurrency=10)
    assert calls == [(calls[0][0], [0, 1, 2]), (calls[0][0], [3, 4, 5])]
    assert calls[0][0] < 0.1
    assert [record.result for record in records] == [b"0", b"10", b"20", b"30", b"40", b"50"]


async def test_what_has_come_in_time_is_a_batch(yard) -> None:
    calls = []

    async def handler(jobs):
        calls.append((yard.now, [job.data for job in jobs]))

    yard.handle(handler, batch=BatchOptions(10, wait=2))
    async with yard.working(concurrency=10):
        first = await yard.add(1)
        await yard.until(first, JobState.ACTIVE)
        await asyncio.sleep(1)
        second = await yard.add(2)
        await yard.until(second)
        await yard.until(first)
        third = await yard.add(3)
        await yard.until(third)
    assert [datas for _, datas in calls] == [[1, 2], [3]]
    assert 2 <= calls[0][0] < 2.2
    assert 4 <= calls[1][0] < 4.4


async def test_each_job_is_settled_on_its_own(yard) -> None:
    async def handler(jobs):
        jobs[4].mark_failed("marked")
        return [
            "fine",
            ValueError("broken"),
            Retry("again", delay=1) if jobs[2].attempt == 1 else "at last",
            Discard("hopeless"),
            "ignored",
            Snooze(1) if jobs[5].data == 5 else None,
        ]

    yard.handle(handler, batch=BatchOptions(6))
    ids = [await yard.add(n, attempts=2 if n in {2, 3} else 1) for n in range(6)]
    async with yard.working(concurrency=6):
        await yard.until(ids[0])
        records = [await yard.record(each) for each in ids]
    assert [record.state for record in records] == [
        JobState.COMPLETED,
        JobState.FAILED,
        JobState.DELAYED,
        JobState.FAILED,
        JobState.FAILED,
        JobState.DELAYED,
    ]
    assert [record.failures for record in records] == [0, 1, 1, 1, 1, 0]
    assert records[3].reason is Reason.REFUSED
    assert (await yard.error(ids[1])).message == "broken"
    assert (await yard.error(ids[4])).message == "marked"


async def test_an_error_of_the_call_is_that_of_each_job(yard) -> None:
    async def handler(jobs):
        raise RuntimeError("the whole of it")

    yard.handle(handler, batch=BatchOptions(3))
    ids = [await yard.add(n) for n in range(3)]
    await yard.run_until(ids)
    errors = [await yard.error(each) for each in ids]
    assert {error.message for error in errors} == {"the whole of it"}
    assert len({error.traceback for error in errors}) == 1, "no job shows another's traceback"
    assert "in handler" in str(errors[0].traceback)


@pytest.mark.parametrize("value", [[1], [1, 2, 3], "ab", 7, {}])
async def test_a_batch_answers_for_each_of_its_jobs(yard, value) -> None:
    async def handler(jobs):
        return value

    yard.handle(handler, batch=BatchOptions(2))
    ids = [await yard.add(n) for n in range(2)]
    records = await yard.run_until(ids)
    assert {record.state for record in records} == {JobState.FAILED}
    assert "a result for each of its jobs" in (await yard.error(ids[0])).message


async def test_a_job_past_its_time_leaves_its_batch(yard) -> None:
    async def handler(jobs):
        await asyncio.sleep(3)
        return [job.data for job in jobs]

    yard.handle(handler, batch=BatchOptions(2))
    slow, other = await yard.add("slow", timeout=1), await yard.add("other")
    async with yard.working(concurrency=4):
        assert (await yard.until(slow)).state is JobState.FAILED
        assert yard.now < 2
        assert (await yard.until(other)).result == b'"other"'


async def test_a_call_that_all_have_left_is_cancelled(yard) -> None:
    ended = []

    async def handler(jobs):
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(yard.now)

    yard.handle(handler, batch=BatchOptions(2))
    ids = [await yard.add(n, timeout=1) for n in range(2)]
    await yard.run_until(ids)
    assert len(ended) == 1
    assert ended[0] < 2


async def test_a_job_that_leaves_before_the_call_is_not_in_it(yard) -> None:
    calls = []

    async def handler(jobs):
        calls.append([job.data for job in jobs])

    yard.handle(handler, batch=BatchOptions(3, wait=5))
    gone, stays = await yard.add("gone", timeout=1), await yard.add("stays")
    async with yard.working():
        assert (await yard.until(gone)).state is JobState.FAILED
        await yard.until(stays)
    assert calls == [["stays"]]


async def test_calls_at_once_are_bounded_and_jobs_gather_meanwhile(yard) -> None:
    running, calls = [0], []

    async def handler(jobs):
        running[0] += 1
        calls.append((running[0], len(jobs)))
        await asyncio.sleep(10)
        running[0] -= 1

    yard.handle(handler, concurrency=1, batch=BatchOptions(4, wait=1))
    async with yard.working(concurrency=20):
        first = await yard.add(0)
        await yard.until(first, JobState.ACTIVE)
        await asyncio.sleep(2)
        ids = [await yard.add(n) for n in range(1, 6)]
        for each in ids:
            await yard.until(each)
    assert {at_once for at_once, _ in calls} == {1}
    assert [size for _, size in calls][:2] == [1, 3], "three of the four that it may have gathered"
    assert sum(size for _, size in calls) == 6


async def test_leases_of_a_batch_that_gathers_are_kept(yard) -> None:
    async def handler(jobs):
        return None

    yard.handle(handler, batch=BatchOptions(2, wait=50))
    job_id = await yard.add(1)
    (record,) = await yard.run_until([job_id], lease=3)
    assert (record.state, record.crashes) == (JobState.COMPLETED, 0)
    assert yard.now >= 50


async def test_a_stop_gives_back_what_has_not_been_called(yard) -> None:
    calls = []

    async def handler(jobs):
        calls.append(jobs)

    yard.handle(handler, batch=BatchOptions(2, wait=500))
    job_id = await yard.add(1)
    async with yard.working(shutdown_timeout=1):
        await yard.until(job_id, JobState.ACTIVE)
    record = await yard.record(job_id)
    assert (record.state, record.failures, calls) == (JobState.WAITING, 0, [])


async def test_impossible_batches_are_refused(yard) -> None:
    async def handler(jobs):
        return None

    async def takes_nothing():
        return None

    for bad in (0, 1_001, True, "2"):
        with pytest.raises(InvalidOption):
            BatchOptions(bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption):
        BatchOptions(2, wait=-1)
    with pytest.raises(InvalidOption, match="BatchOptions"):
        yard.handle(handler, batch=3)
    with pytest.raises(ConfigError, match="takes the list"):
        yard.handle(takes_nothing, batch=BatchOptions(2))
    with pytest.raises(InvalidOption, match="process"):
        yard.handle(plain, kind="process", batch=BatchOptions(2))


def plain(jobs):
    return None


async def test_a_worker_too_small_for_a_batch_says_so(yard) -> None:
    async def handler(jobs):
        return None

    yard.handle(handler, batch=BatchOptions(11))
    with pytest.raises(ConfigError, match="at least that, not 10"):
        await yard.worker().run()
