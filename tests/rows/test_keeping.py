"""K-080 to K-085: what is kept and what is removed."""

from __future__ import annotations

import asyncio

import pytest

from jobyard import JobNotFound, JobState, Keep, QueueService, RetentionPolicy
from jobyard.errors import InvalidOption, QueueNotEmpty, QueueNotFound


def succeed_or_fail(service: QueueService) -> None:
    @service.handler("q", "n", replace=True)
    async def n(job):
        if job.data == "bad":
            raise ValueError("bad")
        return job.data


async def test_k080_no_record_but_the_event_has_the_result(service, record) -> None:
    succeed_or_fail(service)
    seen = record(service)
    done = await service.add_job("q", "n", "fine", remove_on_complete=True)
    failed = await service.add_job("q", "n", "bad", remove_on_fail=True)
    await service.run_until_idle()
    for job in (done, failed):
        with pytest.raises(JobNotFound):
            await job.refresh()
    assert (await seen.until("completed"))[0].data == "fine"
    assert (await seen.until("failed"))[0].data.message == "bad"
    assert (await service.get_stats("q")).total == 0
    assert (await service.get_metrics("q")).processed == 2


async def test_k081_keep_the_newest(service: QueueService) -> None:
    succeed_or_fail(service)
    for n in range(10):
        await service.add_job("q", "n", n, remove_on_complete=3)
        await service.run_until_idle()
    kept = await service.list_jobs("q", state="completed")
    assert [job.data for job in kept] == [7, 8, 9]


async def test_k081_keep_by_age(make) -> None:
    service = await make()
    succeed_or_fail(service)
    await service.add_job("q", "n", "short", remove_on_complete=Keep(age=0))
    await service.add_job("q", "n", "long", remove_on_complete=Keep(age=3600))
    await service.run_until_idle()
    await asyncio.sleep(0.005)
    from jobyard.edits import Retention

    day = 86_400_000
    await service.backend.sweep(Retention(completed_ms=day, others_ms=day, count=1000))
    assert [job.data for job in await service.list_jobs("q")] == ["long"]


async def test_k082_retention_deletes_with_events_and_not_before(make, record) -> None:
    from jobyard.edits import Retention

    service = await make()
    succeed_or_fail(service)
    seen = record(service)
    job = await service.add_job("q", "n", 1)
    await service.run_until_idle()
    young = Retention(completed_ms=3_600_000, others_ms=0, count=1000)
    await service.backend.sweep(young)
    assert (await job.refresh()).state is JobState.COMPLETED
    await asyncio.sleep(0.005)
    await service.backend.sweep(Retention(completed_ms=0, others_ms=0, count=1000))
    with pytest.raises(JobNotFound):
        await job.refresh()
    assert [event.job_id for event in await seen.until("deleted")] == [job.id]
    with pytest.raises(InvalidOption):
        RetentionPolicy(count=-1)


async def test_k083_clean(service: QueueService) -> None:
    succeed_or_fail(service)
    await service.add_jobs("q", [("n", "bad" if n % 5 == 0 else n) for n in range(2500)])
    await service.run_until_idle(concurrency=500)
    assert await service.clean_jobs(["completed", "failed"], older_than=60, queue="q") == 0
    await asyncio.sleep(0.005)
    assert await service.clean_jobs(["completed", "failed"], older_than=0, queue="q") == 2500
    assert (await service.get_stats("q")).total == 0
    for bad in (["waiting"], "sleeping"):
        with pytest.raises(InvalidOption):
            await service.clean_jobs(bad, older_than=0)


async def test_k084_drain(service: QueueService) -> None:
    succeed_or_fail(service)
    await service.add_job("q", "n", "finished")
    await service.run_until_idle()
    await service.add_job("q", "n", "active")
    await service.claim("q")
    await service.add_jobs("q", [("n", n, {"priority": n % 7}) for n in range(1500)])
    await service.add_job("q", "n", "later", delay=3600)
    assert await service.drain_queue("q") == 1500
    left = {job.data: job.state for job in await service.list_jobs("q")}
    assert left == {"finished": "completed", "active": "active", "later": "delayed"}
    assert await service.drain_queue("q", delayed=True) == 1
    assert await service.drain_queue("nowhere") == 0


async def test_k085_obliterate(service: QueueService) -> None:
    succeed_or_fail(service)
    await service.add_jobs("q", [("n", n) for n in range(1100)])
    await service.run_until_idle(concurrency=200)
    await service.add_jobs("q", [("n", n) for n in range(5)])
    (claimed,) = await service.claim("q")
    with pytest.raises(QueueNotEmpty):
        await service.obliterate_queue("q")
    assert (await service.get_stats("q")).total == 1105
    assert await service.obliterate_queue("q", force=True) == 1105
    assert await service.list_queues() == []
    with pytest.raises(QueueNotFound):
        await service.get_stats("q")
    with pytest.raises(JobNotFound):
        await claimed.refresh()
