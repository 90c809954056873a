"""K-130 to K-136: what happened is told."""

from __future__ import annotations

import asyncio
import logging

import pytest

from jobyard import QueueService
from jobyard.errors import InvalidOption


async def test_k130_each_transition_once_and_in_order(service: QueueService, record) -> None:
    seen = record(service)

    @service.handler("q", "good")
    async def good(job):
        return 1

    @service.handler("q", "bad")
    async def bad(job):
        raise ValueError("bad")

    one = await service.add_job("q", "good")
    two = await service.add_job("q", "bad", attempts=3, backoff=0)
    await service.run_until_idle()
    await seen.until("finished", 2)
    assert seen.names(one.id) == ["added", "active", "completed", "finished"]
    runs = ["active", "attempt_failed"] * 3
    assert seen.names(two.id) == ["added", *runs, "failed", "finished"]


async def test_k131_events_of_other_services_say_who_and_what(make, record) -> None:
    service, other = await make(), await make()
    seen = record(other)
    await other.list_queues()

    @service.handler("q", "n")
    async def n(job):
        await job.update_progress(1)
        return "done"

    job = await service.add_job("q", "n")
    await service.run_until_idle()
    await seen.until("finished")
    mine = [event for event in seen.events if event.job_id == job.id]
    assert [e.name for e in mine] == ["added", "active", "progress", "completed", "finished"]
    assert {(e.queue, e.job_name) for e in mine} == {("q", "n")}
    assert all(e.worker_id for e in mine if e.name != "added")
    assert [e.at for e in mine] == sorted(e.at for e in mine)
    assert mine[3].data == "done"


async def test_k133_a_listener_that_raises_hinders_nobody(service, record, caplog) -> None:
    def broken(event):
        raise RuntimeError("listener")

    async def broken_too(event):
        raise RuntimeError("async listener")

    service.on("completed", broken)
    service.on("*", broken_too)
    seen = record(service, "completed")

    @service.handler("q", "n")
    async def n(job):
        return 1

    with caplog.at_level(logging.CRITICAL, logger="jobyard.events"):
        for _ in range(3):
            await service.add_job("q", "n")
        await service.run_until_idle()
        await seen.until("completed", 3)
    assert (await service.get_stats("q")).completed == 3


async def test_k134_drained_once_per_empty_period(service: QueueService, record) -> None:
    seen = record(service)

    @service.handler("q", "n")
    async def n(job):
        return None

    for expected in (1, 2):
        await service.add_jobs("q", [("n", n) for n in range(5)])
        await service.add_job("q", "n", delay=3600)
        await service.run_until_idle(concurrency=2)
        await seen.until("completed", 5 * expected)
        assert len(await seen.until("drained", expected)) == expected


async def test_k135_durations(service: QueueService, record) -> None:
    seen = record(service)

    @service.handler("q", "n")
    async def n(job):
        await asyncio.sleep(0.05)
        if job.attempt == 1:
            raise ValueError

    await service.add_job("q", "n", attempts=2, backoff=0)
    await service.run_until_idle()
    (failed,) = await seen.until("attempt_failed")
    (completed,) = await seen.until("completed")
    for event in (failed, completed):
        assert event.duration is not None
        assert 0.045 < event.duration < 5
        assert event.worker_id
    assert failed.data.type == "ValueError"
    assert (failed.attempt, completed.attempt) == (1, 2)


async def test_k136_workers_tell_of_themselves(make, record) -> None:
    service, other = await make(), await make()
    seen = record(other)
    await other.list_queues()

    @service.handler("q", "n")
    async def n(job):
        return None

    worker = service.worker(name="alpha")
    work = asyncio.create_task(worker.run())
    await seen.until("worker_started")
    await service.close()
    await work
    await seen.until("worker_stopped")
    told = [event for event in seen.events if event.worker_id == worker.id]
    names = [event.name for event in told if event.name.startswith("worker")]
    assert names[0] == "worker_started"
    assert names[-1] == "worker_stopped"


async def test_listeners_come_and_go(service: QueueService, record) -> None:
    got = []
    listener = service.on("added", lambda event: got.append(event.job_id))
    seen = record(service, "added")
    first = await service.add_job("q", "n")
    await seen.until("added")
    service.off("added", listener)
    service.off("added", listener)
    await service.add_job("q", "n")
    await seen.until("added", 2)
    assert got == [first.id]
    with pytest.raises(InvalidOption, match="there is no event"):
        service.on("complete", listener)


async def test_events_on_their_way_are_delivered_at_closing(url: str, record) -> None:
    service = QueueService(url)
    await service.open()
    seen = record(service)
    await service.add_jobs("q", [("n", n) for n in range(2500)])
    await service.close()
    assert len(seen.events) == 2500
