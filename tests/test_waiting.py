"""Waiting for the end of a job, beside others who wait for it."""

from __future__ import annotations

import asyncio

import pytest
from tests.patience import PATIENCE

from jobyard import JobFailed, QueueService


@pytest.mark.parametrize("url", ["memory"], indirect=True)
async def test_k041_who_waits_after_a_retry_is_not_told_of_the_end_before_it(
    service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []

    @service.handler("q", "n")
    async def n(job):
        runs.append(job.attempt)
        if len(runs) == 1:
            raise ValueError("at first")
        return "done"

    job = await service.add_job("q", "n")
    await service.run_until_idle()
    get, has_looked, may_answer = service.backend.get, asyncio.Event(), asyncio.Event()

    async def late(ids, **how):
        records = await get(ids, **how)
        has_looked.set()
        await may_answer.wait()
        return records

    monkeypatch.setattr(service.backend, "get", late)
    before = asyncio.create_task(job.wait(timeout=PATIENCE))
    await has_looked.wait()
    await job.retry()
    after = asyncio.create_task(job.wait(timeout=PATIENCE))
    await asyncio.sleep(0)
    may_answer.set()
    with pytest.raises(JobFailed, match="at first"):
        await before
    await service.run_until_idle()
    assert await after == "done"
