"""K-098, K-099: which of a queue's jobs a worker takes."""

from __future__ import annotations

import asyncio

import pytest
from tests.patience import PATIENCE

from jobyard import JobFailed, JobOptions, JobState, QueueService, Reason
from jobyard.errors import InvalidName, InvalidOption


async def test_k098_a_worker_of_some_channels_runs_those_alone(make) -> None:
    service = await make(defaults=JobOptions(channel="lo"))
    ran = []
    for name, concurrency in (("n", None), ("limited", 1)):

        @service.handler("q", name, concurrency=concurrency)
        async def n(job):
            ran.append((job.data, job.channel))

        await service.add_job("q", name, f"{name} in lo")
        await service.add_job("q", name, f"{name} in hi", channel="hi")
        await service.add_job("q", name, f"{name} in none", channel=None)
    assert await service.worker(channels=["hi"]).run_until_idle() == 2
    assert sorted(ran) == [("limited in hi", "hi"), ("n in hi", "hi")]
    ran.clear()
    assert await service.worker(channels=[None]).run_until_idle() == 2
    assert sorted(ran) == [("limited in none", None), ("n in none", None)]
    ran.clear()
    await service.add_job("q", "n", "late", channel="other")
    assert await service.worker().run_until_idle() == 3
    assert sorted(ran) == [("late", "other"), ("limited in lo", "lo"), ("n in lo", "lo")]


async def test_k098_channels_are_named_in_a_list(service: QueueService) -> None:
    for bad in ("hi", (), 3):
        with pytest.raises(InvalidOption, match="channels"):
            service.worker(channels=bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidName):
        service.worker(channels=["a b"])


async def test_k098_claims_by_hand_choose_channels_too(service: QueueService) -> None:
    await service.add_jobs("q", [("n", 1, {"channel": "a"}), ("n", 2)])
    assert [job.data for job in await service.peek("q", limit=9, channels=["a"])] == [1]
    assert [job.data for job in await service.claim("q", limit=9, channels=["a", "b"])] == [1]


@pytest.mark.case("F25")
async def test_k099_a_job_of_an_unknown_name_is_left_for_who_knows_it(make) -> None:
    one, other = await make(), await make()

    @one.handler("q", "known")
    async def known(job):
        return "known"

    @other.handler("q", "unknown")
    async def unknown(job):
        return "after all"

    job = await one.add_job("q", "unknown")
    await one.add_job("q", "known")
    assert await one.run_until_idle() == 1
    left = await job.refresh()
    assert (left.state, left.started_at) == (JobState.WAITING, None)
    assert await other.run_until_idle() == 1
    assert (await job.refresh()).result == "after all"


@pytest.mark.case("F25")
async def test_k099_an_unknown_name_may_fail_instead(service: QueueService) -> None:
    @service.handler("q", "known")
    async def known(job):
        return "known"

    job = await service.add_job("q", "unknown", attempts=5)
    spared = await service.add_job("q", "unknown", channel="elsewhere")
    worker = service.worker(orphan_policy="fail", channels=[None])
    await worker.run_until_idle()
    ended = await job.refresh()
    assert (ended.state, ended.reason) == (JobState.FAILED, Reason.ORPHANED)
    assert (await spared.refresh()).state is JobState.WAITING


async def test_k099_a_service_that_runs_may_fail_unknown_names(service: QueueService) -> None:
    @service.handler("q", "known")
    async def known(job):
        return "known"

    job = await service.add_job("q", "unknown")
    running = asyncio.create_task(service.run(orphan_policy="fail", schedules=False, name="strict"))
    with pytest.raises(JobFailed, match="orphaned"):
        await job.wait(timeout=PATIENCE)
    (worker,) = await service.list_workers()
    assert worker.id.startswith("strict:")
    await service.close()
    await running
