"""K-069, K-086: jobs taken back before they start, and dead letters."""

from __future__ import annotations

import pytest

from jobyard import JobNotFound, JobState, QueueService, Reason
from jobyard.edits import SetPayload
from jobyard.errors import InvalidTransition, PayloadDecodeError


@pytest.fixture
def ran(service: QueueService) -> list[object]:
    """Register a handler that notes what it runs, and fails or waits when told to."""
    order: list[object] = []

    async def work(job):
        order.append(job.data)
        if job.data == "fail":
            raise RuntimeError(job.data)
        return f"{job.data} done"

    for queue in ("q", "r"):
        service.register_worker(queue, "n", work)
    return order


async def test_k069_a_job_is_taken_back(service: QueueService, ran: list) -> None:
    job = await service.add_job("q", "n", {"to": "ada"}, delay=60)
    with pytest.raises(JobNotFound, match="is named n"):
        await service.unschedule_job(job.id, "other")
    with pytest.raises(JobNotFound):
        await service.unschedule_job("nobody", "n")
    assert (await job.refresh()).state is JobState.DELAYED
    assert await service.unschedule_job(job.id, "n") == {"to": "ada"}
    with pytest.raises(JobNotFound):
        await job.refresh()
    broken = await service.add_job("q", "n", delay=60)
    await service.backend.change([broken.id], SetPayload(b'{"to": '))
    with pytest.raises(PayloadDecodeError):
        await service.unschedule_job(broken.id, "n")
    assert (await broken.refresh()).state is JobState.DELAYED
    done = await service.add_job("q", "n", "done")
    await service.run_until_idle()
    with pytest.raises(InvalidTransition):
        await service.unschedule_job(done.id, "n")
    assert (await done.refresh()).state is JobState.COMPLETED


async def test_k086_dead_letters(service: QueueService, ran: list, eventually) -> None:
    dead = await service.add_job("q", "n", "fail", attempts=2, backoff=0, dead_letter=True)
    plain = await service.add_job("q", "n", "fail")
    await service.run_until_idle()
    (listed,) = await service.list_dead("q")
    assert (listed.id, listed.data, listed.failures, listed.name) == (dead.id, "fail", 2, "n")
    assert (listed.state, listed.reason) == (JobState.DEAD, Reason.EXHAUSTED)
    assert listed.finished_at is not None
    assert "fail" in str(listed.error)
    stats = await service.get_stats("q")
    assert (stats.dead, stats.failed, stats.waiting) == (1, 1, 0)
    assert await service.peek("q") == []
    assert await service.list_dead("r") == []
    assert await service.requeue_dead("r") == 0
    assert await service.requeue_dead("q") == 1
    assert await service.list_dead() == []
    assert (await dead.refresh()).failures == 0
    await service.run_until_idle()
    assert ran == ["fail"] * 5

    purged = 0

    async def is_purged() -> bool:  # what died within this millisecond is not older than 0 s
        nonlocal purged
        purged += await service.purge_dead("q")
        return purged == 1

    assert await service.purge_dead("q", older_than=3600) == 0
    await eventually(is_purged)
    assert await service.list_dead() == []
    assert (await plain.refresh()).state is JobState.FAILED
