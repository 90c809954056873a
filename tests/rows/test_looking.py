"""K-060 to K-073: looking at jobs and editing them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.patience import PATIENCE

from jobyard import JobNotFound, JobState, LeaseLost, QueueService, Reason
from jobyard.errors import (
    InvalidName,
    InvalidOption,
    InvalidTransition,
    JobActive,
    WrongState,
)


async def one_in_each_state(service: QueueService) -> dict[str, str]:
    """Bring a job into each state there is."""

    @service.handler("q", "good")
    async def good(job):
        return 1

    @service.handler("q", "bad")
    async def bad(job):
        raise ValueError("bad")

    @service.handler("q", "slow")
    async def slow(job):
        await asyncio.sleep(30)

    jobs = {
        "completed": await service.add_job("q", "good"),
        "failed": await service.add_job("q", "bad"),
        "dead": await service.add_job("q", "bad", dead_letter=True),
        "stalled": await service.add_job("q", "slow", timeout=0.01, on_timeout="stall"),
    }
    await service.run_until_idle()
    jobs["active"] = await service.add_job("q", "good")
    assert len(await service.claim("q")) == 1
    jobs["waiting"] = await service.add_job("q", "good")
    jobs["delayed"] = await service.add_job("q", "good", delay=3600)
    jobs["blocked"] = await service.add_job("q", "good", depends_on=jobs["delayed"])
    jobs["cancelled"] = await service.add_job("q", "good", delay=3600)
    assert await jobs["cancelled"].cancel()
    return {state: job.id for state, job in jobs.items()}


async def test_k060_each_state_is_reached_and_counted(service: QueueService, make) -> None:
    ids = await one_in_each_state(service)
    assert set(ids) == set(JobState)
    other = await make()
    for state, job_id in ids.items():
        assert (await other.get_job(job_id)).state == state
    stats = await other.get_stats("q")
    assert {s: getattr(stats, s) for s in ids} == dict.fromkeys(ids, 1)
    assert stats.total == len(ids) == len(await other.list_jobs("q"))


async def test_k061_get_job(service: QueueService) -> None:
    with pytest.raises(JobNotFound, match="there is no job 'nowhere'"):
        await service.get_job("nowhere")

    @service.handler("q", "n")
    async def n(job):
        return job.id

    before = datetime.now(UTC) - timedelta(seconds=1)
    job = await service.add_job("q", "n")
    await service.run_until_idle()
    ended = await service.get_job(job.id)
    instants = [ended.created_at, ended.due_at, ended.started_at, ended.finished_at]
    assert instants == sorted(instants)
    assert before < instants[0] and instants[-1] < datetime.now(UTC) + timedelta(seconds=1)
    assert ended.worker
    assert ended.fence > 0


async def test_k062_lists_page_without_gap_or_duplicate(service: QueueService) -> None:
    made = []
    for n in range(500):
        delay = 3600 if n % 3 == 0 else 0
        made.append(("ab"[n % 2], n, {"delay": delay}))
    jobs = await service.add_jobs("q", made)
    await service.add_jobs("other", [("a", n) for n in range(50)])
    wanted = [job.id for job in jobs if job.name == "a" and job.state is JobState.DELAYED]
    got: list[str] = []
    for offset in range(0, 500, 30):
        page = await service.list_jobs("q", state=["delayed"], name="a", limit=30, offset=offset)
        got += [job.id for job in page]
    assert got == wanted
    walked = [job.id async for job in service.iter_jobs("q", state="delayed", name="a")]
    assert walked == wanted
    newest = await service.list_jobs("q", newest_first=True, limit=3)
    assert [job.id for job in newest] == [job.id for job in jobs[:-4:-1]]
    middle = (await jobs[0].refresh()).created_at
    assert len(await service.list_jobs("q", created_after=middle, limit=1000)) == 500
    assert await service.list_jobs("q", created_before=middle) == []
    with pytest.raises(InvalidOption, match="a state is one of"):
        await service.list_jobs("q", state="sleeping")
    with pytest.raises(InvalidOption):
        await service.list_jobs("q", limit=-1)
    with pytest.raises(InvalidOption, match="time zone"):
        await service.list_jobs("q", created_after=datetime(2026, 1, 1))  # noqa: DTZ001


async def test_k063_peek_shows_what_claim_gives(service: QueueService) -> None:
    for n, priority in enumerate([0, 5, -5, 5]):
        await service.add_job("q", "n", n, priority=priority)
    shown = [job.id for job in await service.peek("q", limit=3)]
    assert [job.id for job in await service.peek("q", limit=3)] == shown
    assert [job.id for job in await service.claim("q", limit=3)] == shown
    assert (await service.get_stats("q")).waiting == 1


async def test_k064_admin_transitions(service: QueueService) -> None:
    job = await service.add_job("q", "n")
    with pytest.raises(InvalidTransition):
        await service.stall_job(job.id)
    (claimed,) = await service.claim("q")
    await service.stall_job(job.id)
    assert (await job.refresh()).state is JobState.STALLED
    with pytest.raises(LeaseLost):
        await claimed.complete("late")
    await service.complete_job(job.id, {"by": "hand"})
    ended = await job.refresh()
    assert (ended.state, ended.result) == (JobState.COMPLETED, {"by": "hand"})
    assert ended.finished_at is not None
    with pytest.raises(InvalidTransition):
        await service.fail_job(job.id)
    await service.requeue_job(job.id)
    again = await job.refresh()
    assert (again.state, again.result, again.finished_at) == (JobState.WAITING, None, None)
    await service.fail_job(job.id, "no longer wanted")
    failed = await job.refresh()
    assert (failed.state, failed.reason) == (JobState.FAILED, Reason.ADMIN)
    assert failed.error.message == "no longer wanted"
    with pytest.raises(JobNotFound):
        await service.complete_job("nowhere")


async def test_k065_remove(service: QueueService, make, record) -> None:
    other = await make()
    seen = record(other)
    await other.list_queues()
    ids = await one_in_each_state(service)
    with pytest.raises(JobActive, match="running"):
        await service.remove_job(ids["active"])
    for state, job_id in ids.items():
        if state != "active":
            await service.remove_job(job_id)
            with pytest.raises(JobNotFound):
                await service.get_job(job_id)
    removed = await seen.until("removed", len(ids) - 1)
    assert {e.job_id for e in removed} == set(ids.values()) - {ids["active"]}
    assert (await service.get_stats("q")).total == 1


async def test_k066_retry(service: QueueService) -> None:
    runs = []

    @service.handler("q", "n")
    async def n(job):
        runs.append(job.attempt)
        raise ValueError

    job = await service.add_job("q", "n", attempts=2, backoff=0)
    with pytest.raises(InvalidTransition, match="waiting"):
        await job.retry()
    await service.run_until_idle()
    await job.retry()
    await service.run_until_idle()
    assert runs == [1, 2, 2]
    await job.retry(reset_attempts=True)
    await service.run_until_idle()
    assert runs == [1, 2, 2, 1, 2]
    with pytest.raises(JobNotFound):
        await service.retry_job("nowhere")


async def test_k067_retry_many(service: QueueService) -> None:
    async def bad(job):
        raise ValueError

    service.register_worker("q", "n", bad)
    await service.add_jobs("q", [("n", n) for n in range(1203)])
    await service.run_until_idle(concurrency=100)
    assert (await service.get_stats("q")).failed == 1203
    assert await service.retry_jobs("q", state="failed") == 1203
    assert await service.retry_jobs("q", state="failed") == 0
    assert (await service.get_stats("q")).waiting == 1203
    with pytest.raises(InvalidOption, match="can be retried"):
        await service.retry_jobs("q", state="completed")


@pytest.mark.case("B22")
async def test_k068_cancel(service: QueueService) -> None:
    job = await service.add_job("q", "n")
    assert await job.cancel()
    assert (await job.refresh()).state is JobState.CANCELLED
    started = await service.add_job("q", "n")
    (claimed,) = await service.claim("q")
    assert not await started.cancel()
    await claimed.complete("anyway")
    assert (await started.refresh()).state is JobState.COMPLETED
    assert not await started.cancel(running=True)


async def test_k070_cancel_a_running_job_from_elsewhere(
    service: QueueService, make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobyard.worker.keep.GRACE_SECONDS", 0.1)
    other = await make()
    started = asyncio.Event()

    @service.handler("q", "n")
    async def n(job):
        started.set()
        await job.cancel_token.wait()
        await asyncio.sleep(30)

    job = await service.add_job("q", "n")
    work = asyncio.create_task(service.worker(lease=0.6).run())
    await asyncio.wait_for(started.wait(), PATIENCE)
    assert await other.cancel_job(job.id, running=True)
    with pytest.raises(Exception, match="cancelled"):
        await job.wait(timeout=PATIENCE)
    assert (await job.refresh()).state is JobState.CANCELLED
    await service.close()
    await work


async def test_k071_data_and_logs(service: QueueService) -> None:
    seen = []

    @service.handler("q", "n")
    async def n(job):
        seen.append(job.data)
        for line in range(5):
            await job.log(f"{job.data}-{line}")
        if len(seen) == 1:
            await service.update_job_data(job.id, "new")
            raise ValueError

    job = await service.add_job("q", "n", "old", attempts=2, backoff=0, keep_logs=7)
    await service.run_until_idle()
    assert seen == ["old", "new"]
    lines = [f"old-{n}" for n in (3, 4)] + [f"new-{n}" for n in range(5)]
    assert await job.logs() == lines
    assert await job.logs(after=5, limit=1) == lines[5:6]
    with pytest.raises(InvalidTransition):
        await job.update_data("late")


async def test_k072_progress(service: QueueService, make, record) -> None:
    other = await make()
    seen = record(other, "progress")
    await other.list_queues()

    @service.handler("q", "n")
    async def n(job):
        await job.update_progress(50)
        await job.update_progress({"done": 3, "of": 4})

    job = await service.add_job("q", "n")
    with pytest.raises(InvalidTransition):
        await job.update_progress(1)
    await service.run_until_idle()
    assert (await job.refresh()).progress == {"done": 3, "of": 4}
    events = await seen.until("progress", 2)
    assert [event.data for event in events] == [50, {"done": 3, "of": 4}]
    assert {event.job_id for event in events} == {job.id}


async def test_k073_working_by_hand(service: QueueService) -> None:
    await service.add_jobs("q", [("n", n, {"attempts": 2, "backoff": 0}) for n in range(5)])
    one, two, three, four, five = await service.claim("q", limit=5, lease=5)
    await one.complete({"n": 1})
    await one.complete({"n": 2})  # again is no error and changes nothing
    assert (await one.refresh()).result == {"n": 1}
    await two.fail(ValueError("first"))
    assert ((await two.refresh()).state, (await two.refresh()).failures) == ("waiting", 1)
    await three.dead("hopeless")
    assert (await three.refresh()).reason is Reason.REFUSED
    await four.snooze(60)
    assert ((await four.refresh()).state, (await four.refresh()).failures) == ("delayed", 0)
    await five.extend(120)
    await five.release()
    assert (await five.refresh()).state is JobState.WAITING
    with pytest.raises(WrongState):
        (await service.get_job(one.id)).mark_failed()
    jobs = {job.data: job for job in await service.claim("q", limit=10)}
    assert set(jobs) == {1, 4}
    await jobs[1].fail("second")
    assert (await two.refresh()).state is JobState.FAILED


async def test_k057_b03_who_lost_its_lease_changes_nothing(service: QueueService, make) -> None:
    other = await make()

    @service.handler("q", "n")
    async def n(job):
        return "in time"

    job = await other.add_job("q", "n", attempts=5)
    (late,) = await other.claim("q", lease=0.05)
    work = asyncio.create_task(service.worker(poll_interval=0.02).run())
    assert await job.wait(timeout=PATIENCE) == "in time"
    ended = await job.refresh()
    assert (ended.crashes, ended.failures) == (1, 0)
    assert ended.fence > late.fence
    for call in (
        late.complete("late"),
        late.fail("late"),
        late.dead("late"),
        late.snooze(0),
        late.release(),
        late.extend(60),
        late.update_progress(99),
        late.log("late"),
        late.check_lease(),
    ):
        with pytest.raises(LeaseLost):
            await call
    after = await job.refresh()
    assert (after.state, after.result, after.fence) == ("completed", "in time", ended.fence)
    assert (after.progress, await job.logs()) == (None, [])
    await service.close()
    await work


@pytest.mark.parametrize("job_id", ["", "a b", "\ud800", "a\0b", "x" * 129, "ü"], ids=ascii)
async def test_an_id_that_no_job_can_have_is_of_none(service: QueueService, job_id: str) -> None:
    there = await service.add_job("q", "n")
    for call in (
        service.get_job(job_id),
        service.wait_for(job_id),
        service.cancel_job(job_id),
        service.remove_job(job_id),
        service.update_job_data(job_id, 1),
    ):
        with pytest.raises(JobNotFound):
            await call
    assert await service.job_logs(job_id) == []
    found = await service.get_jobs([job_id, there.id, job_id, there.id])
    assert [job and job.id for job in found] == [None, there.id, None, there.id]


@pytest.mark.parametrize("queue", ["", "a b", "\ud800", "a\0b", "x" * 65], ids=ascii)
async def test_a_name_that_no_queue_can_have_is_refused(service: QueueService, queue: str) -> None:
    for call in (
        service.get_stats(queue),
        service.get_metrics(queue),
        service.list_jobs(queue),
        service.retry_jobs(queue),
        service.clean_jobs(queue=queue, older_than=0),
        service.drain_queue(queue),
        service.obliterate_queue(queue),
        service.pause_queue(queue),
        service.claim(queue),
        service.peek(queue),
    ):
        with pytest.raises(InvalidName):
            await call
