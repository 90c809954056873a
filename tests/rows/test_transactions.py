"""K-029: jobs that are part of a transaction of the app's."""

from __future__ import annotations

import asyncio

import pytest
from tests.patience import PATIENCE

from jobyard import JobState
from jobyard.backend import Capability
from jobyard.errors import JobNotFound, Unsupported


async def test_k029_jobs_come_with_the_commit_or_not_at_all(service) -> None:
    if Capability.CALLER_TX not in service.backend.capabilities:
        with pytest.raises(Unsupported):
            await service.add_job("q", "n", within=object())
        with pytest.raises(Unsupported, match="transaction"):
            async with service.transaction():
                pass
        assert await service.list_queues() == []
        return
    async with service.transaction() as within:
        kept = await service.add_job("q", "n", 1, within=within)
        many = await service.add_jobs("q", [("n", 2), ("n", 3)], within=within, priority="high")
        with pytest.raises(JobNotFound):
            await service.get_job(kept.id)
    with pytest.raises(RuntimeError, match="undone"):
        async with service.transaction() as within:
            lost = await service.add_job("q", "n", 4, within=within)
            raise RuntimeError("undone")
    with pytest.raises(JobNotFound):
        await service.get_job(lost.id)
    assert [job.data for job in await service.list_jobs("q")] == [1, 2, 3]
    assert (await kept.refresh()).state is JobState.WAITING
    assert [(await job.refresh()).priority for job in many] == [10, 10]


async def test_k029_what_is_still_to_be_done_does_not_wait_for_the_transaction(
    service, record
) -> None:
    """A queue to be made known, a listener to be subscribed: SQLite would have a second writer."""
    if Capability.CALLER_TX not in service.backend.capabilities:
        return
    service.queue("before")
    async with service.transaction() as within:
        service.queue("meanwhile")
        heard = record(service, "added")
        async with asyncio.timeout(PATIENCE):
            await service.add_job("q", "n", 1, within=within)
    assert await service.list_queues() == ["before", "meanwhile", "q"]
    await service.add_job("q", "n", 2)
    await heard.until("added")
