"""K-120 to K-127: schedules, on the time that the store tells."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from jobyard import JobState
from jobyard.errors import InvalidName, InvalidOption, ScheduleNotFound

LATER = datetime(2090, 1, 1, tzinfo=UTC)
MONTH = 30 * 86_400
"""An interval in seconds, of which hardly ever a tick comes while a test runs."""


async def test_k120_the_ticks_are_on_a_grid_and_each_has_one_job(service, eventually) -> None:
    ticks: list[datetime] = []

    @service.handler("q", "tick")
    async def tick(job):
        ticks.append(datetime.fromisoformat(job.headers["jobyard-tick"]))

    await service.add_schedule("k", "q", "tick", every=0.2, catch_up="all")
    worker = service.worker(poll_interval=0.2)
    running = asyncio.create_task(worker.run())

    async def ten_ran() -> bool:
        return len(ticks) >= 10

    await eventually(ten_ran)
    await worker.stop()
    await running
    ticks.sort()
    assert [(each - ticks[0]) / timedelta(seconds=0.2) for each in ticks] == list(range(len(ticks)))
    assert ticks[0].microsecond % 200_000 == 0
    jobs = [job async for job in service.iter_jobs("q")]
    assert (await service.get_schedule("k")).fired == len(jobs)


async def test_k122_cron_at_midnight_comes_next_midnight(service) -> None:
    now = (await service.health()).now
    schedule = await service.add_schedule("k", "q", "tick", cron="0 0 * * *", timezone="UTC")
    midnight = datetime.fromtimestamp(now // 86_400_000 * 86_400, UTC) + timedelta(days=1)
    assert schedule.next_at in {midnight, midnight + timedelta(days=1)}
    assert (schedule.cron, schedule.timezone, schedule.fired) == ("0 0 * * *", "UTC", 0)


async def test_k123_immediately_limit_and_end(service) -> None:
    @service.handler("q", "tick")
    async def tick(job):
        return job.headers["jobyard-schedule"]

    await service.add_schedule("once", "q", "tick", every=MONTH, immediately=True, limit=1)
    future = await service.add_schedule("later", "q", "tick", every=10, start=LATER)
    past = await service.add_schedule(
        "past", "q", "tick", every=10, end=datetime(2020, 1, 1, tzinfo=UTC)
    )
    assert future.next_at == LATER
    assert past.next_at is None
    assert await service.run_until_idle() == 1
    once = await service.get_schedule("once")
    assert (once.fired, once.next_at) == (1, None)
    (job,) = await service.list_jobs("q")
    assert (job.state, job.result) == (JobState.COMPLETED, "once")


@pytest.mark.parametrize(
    ("key", "options", "error"),
    [
        ("k", {}, InvalidOption),
        ("k", {"every": 5, "cron": "* * * * *"}, InvalidOption),
        ("k", {"cron": "61 * * * *"}, InvalidOption),
        ("k", {"cron": "* * * * *", "timezone": "Nowhere/Else"}, InvalidOption),
        ("k", {"every": 0}, InvalidOption),
        ("k", {"every": 5, "delay": 3}, InvalidOption),
        ("k", {"every": 5, "job_id": "x"}, InvalidOption),
        ("k", {"every": 5, "start": LATER.replace(tzinfo=None)}, InvalidOption),
        ("", {"every": 5}, InvalidName),
        ("a b", {"every": 5}, InvalidName),
        ("k", {"every": 5, "evry": 6}, TypeError),
    ],
)
async def test_k123_what_cannot_be_is_refused_and_not_stored(service, key, options, error) -> None:
    with pytest.raises(error):
        await service.add_schedule(key, "q", "tick", **options)
    assert await service.list_schedules() == []


async def test_k124_schedules_are_managed_from_any_process(service, make) -> None:
    other = await make()
    await service.add_schedule("b", "q", "tick", {"n": 1}, every=3600, attempts=3)
    await service.add_schedule("a", "r", "tick", every=60)
    assert [each.key for each in await other.list_schedules()] == ["a", "b"]
    assert [each.key for each in await other.list_schedules("q")] == ["b"]
    assert (await other.get_schedule("b")).data == {"n": 1}

    paused = await other.pause_schedule("b")
    assert paused.paused
    assert (await service.get_schedule("b")).paused
    assert not (await service.resume_schedule("b")).paused

    job = await other.trigger_schedule("b")
    assert (job.queue, job.name, job.data, job.attempts) == ("q", "tick", {"n": 1}, 3)
    assert (await other.get_schedule("b")).fired == 0

    await other.remove_schedule("b")
    assert [each.key for each in await service.list_schedules()] == ["a"]
    assert (await service.get_job(job.id)).state is JobState.WAITING
    for missing in (
        service.get_schedule,
        service.pause_schedule,
        service.resume_schedule,
        service.trigger_schedule,
        service.remove_schedule,
    ):
        with pytest.raises(ScheduleNotFound, match="no schedule b"):
            await missing("b")


@pytest.mark.case("T12")
async def test_k124_a_new_timing_stops_the_old_one(service) -> None:
    await service.add_schedule("k", "q", "tick", every=MONTH, immediately=True)
    await service.run_until_idle()
    first = await service.get_schedule("k")
    assert first.fired == 1
    again = await service.add_schedule("k", "q", "tick", every=MONTH, immediately=True)
    assert again == first, "the same again changes nothing"
    other_data = await service.add_schedule("k", "q", "tick", 5, every=MONTH, immediately=True)
    assert (other_data.data, other_data.fired, other_data.next_at) == (5, 1, first.next_at)
    moved = await service.add_schedule("k", "q", "tick", every=10, start=LATER)
    assert (moved.every, moved.fired, moved.next_at) == (10, 0, LATER)
    assert await service.list_schedules() == [moved]


@pytest.mark.case("T11")
async def test_k125_ticks_missed_are_caught_up_as_told(service) -> None:
    for policy in ("one", "all", "none"):
        await service.add_schedule(policy, policy, "tick", every=0.05, catch_up=policy)
    begun = (await service.health()).now
    while (await service.health()).now < begun + 600:
        await asyncio.sleep(0.05)
    await service.run_until_idle()
    jobs = {
        policy: len([job async for job in service.iter_jobs(policy)])
        for policy in ("one", "all", "none")
    }
    assert jobs["one"] == 1
    assert jobs["all"] >= 11
    assert jobs["none"] == 0
    for schedule in await service.list_schedules():
        assert schedule.fired == jobs[schedule.key]


async def test_k126_many_schedules_begin_in_the_same_instant(service, make) -> None:
    services = [service, *[await make() for _ in range(3)]]
    made = await asyncio.gather(
        *(
            each.add_schedule(f"k{n}", "q", "tick", every=MONTH, immediately=True)
            for n in range(10)
            for each in services
        )
    )
    assert len({schedule.key for schedule in made}) == 10
    await asyncio.gather(*(each.run_until_idle() for each in services))
    assert len(await service.list_jobs("q")) == 10
    assert {schedule.fired for schedule in await service.list_schedules()} == {1}


async def test_k127_no_job_is_added_while_the_last_has_not_ended(service, eventually) -> None:
    await service.add_schedule("k", "q", "tick", every=0.05, overlap="skip")

    async def three_fired() -> bool:
        await service.run_until_idle()
        return (await service.get_schedule("k")).fired >= 3

    await eventually(three_fired)
    (job,) = await service.list_jobs("q")
    assert job.state is JobState.WAITING
    triggered = await service.trigger_schedule("k")
    assert (triggered.id, triggered.is_duplicate) == (job.id, True)

    (held,) = await service.queue("q").claim()
    await held.complete()
    begun = (await service.health()).now
    while (await service.health()).now < begun + 100:
        await asyncio.sleep(0.02)
    await service.run_until_idle()
    assert len(await service.list_jobs("q")) == 2
