"""Schedules on virtual time: which ticks workers fire, and when."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobyard import Job
from jobyard.errors import StoreBusy
from jobyard.schedule import ScheduleRecord

EPOCH = datetime.fromtimestamp(1_700_000_000, UTC)
"""Where the time of a yard begins: 40 seconds before a full minute."""


def keep_ticks(yard: Any) -> list[tuple[float, float]]:
    """Let the handler note when it ran and which tick it stands for, in the yard's seconds."""
    ticks: list[tuple[float, float]] = []

    async def handler(job: Job) -> None:
        tick = datetime.fromisoformat(job.headers["jobyard-tick"])
        ticks.append((yard.now, (tick - EPOCH).total_seconds()))

    yard.handle(handler)
    return ticks


async def test_k120_ticks_are_fired_when_they_come_and_do_not_drift(yard: Any) -> None:
    ticks = keep_ticks(yard)
    await yard.service.add_schedule("k", "q", "job", every=0.7)

    async with yard.working(poll_interval=5):
        await asyncio.sleep(7.2)

    assert [tick for _, tick in ticks] == pytest.approx([0.3 + 0.7 * n for n in range(10)])
    assert [late for ran, tick in ticks if (late := ran - tick) > 0.05] == []


async def test_k121_many_schedulers_make_one_job_a_tick(yard: Any) -> None:
    ticks = keep_ticks(yard)
    await yard.service.add_schedule("k", "q", "job", every=1)

    async with yard.working(), yard.working(), yard.working():
        await asyncio.sleep(10.5)

    assert [tick for _, tick in ticks] == list(range(11))


async def test_a_schedule_of_another_process_is_found_at_the_next_look(yard: Any) -> None:
    ticks = keep_ticks(yard)
    async with yard.working(poll_interval=1):
        await asyncio.sleep(3.3)
        await yard.service.add_schedule("k", "q", "job", every=60, immediately=True)
        await asyncio.sleep(1.2)
    assert [tick for _, tick in ticks] == [3.3]
    assert ticks[0][0] - 3.3 <= 1.1


@pytest.mark.parametrize(
    ("catch_up", "caught"), [("one", [40]), ("all", list(range(40, 641, 60))), ("none", [])]
)
async def test_k125_ticks_missed_are_caught_up_as_told(
    yard: Any, catch_up: str, caught: list[int]
) -> None:
    ticks = keep_ticks(yard)
    await yard.service.add_schedule("k", "q", "job", every=60, catch_up=catch_up)
    await asyncio.sleep(650)  # no worker is there

    async with yard.working():
        await asyncio.sleep(49)
        assert [tick for _, tick in ticks] == caught
        await asyncio.sleep(60)

    assert [tick for _, tick in ticks] == [*caught, 700]


async def test_k124_a_paused_schedule_fires_nothing_and_nothing_is_caught_up(yard: Any) -> None:
    ticks = keep_ticks(yard)
    await yard.service.add_schedule("k", "q", "job", every=10, catch_up="all")
    async with yard.working():
        await asyncio.sleep(15)
        await yard.service.pause_schedule("k")
        await asyncio.sleep(50)
        resumed = await yard.service.resume_schedule("k")
        assert resumed.next_at == EPOCH + timedelta(seconds=70)
        await asyncio.sleep(10)
    assert [tick for _, tick in ticks] == [0, 10, 70]


async def test_k127_no_job_is_added_while_the_last_has_not_ended(yard: Any) -> None:
    starts: list[float] = []

    async def slow(job: Job) -> None:
        starts.append(yard.now)
        await asyncio.sleep(25)

    yard.handle(slow)
    await yard.service.add_schedule("k", "q", "job", every=10, overlap="skip")
    async with yard.working():
        await asyncio.sleep(65)
        job = await yard.service.trigger_schedule("k")
        assert job.is_duplicate
        assert (await yard.service.get_schedule("k")).fired == 7
    assert [round(start) for start in starts] == [0, 30, 60]


async def test_k123_a_limit_ends_the_schedule(yard: Any) -> None:
    ticks = keep_ticks(yard)
    await yard.service.add_schedule("k", "q", "job", every=1, limit=3)
    async with yard.working():
        await asyncio.sleep(10)
    assert [tick for _, tick in ticks] == [0, 1, 2]
    ended = await yard.service.get_schedule("k")
    assert (ended.next_at, ended.fired) == (None, 3)


@pytest.mark.case("B25")
async def test_one_that_cannot_be_read_does_not_hold_up_the_others(
    yard: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ticks = keep_ticks(yard)
    broken = ScheduleRecord(key="a", definition=b"\xc1", next_at=1)
    await yard.service.backend.put_schedules([broken])
    await yard.service.add_schedule("b", "q", "job", every=1)
    with caplog.at_level(logging.ERROR):
        async with yard.working():
            await asyncio.sleep(5.5)
    assert [tick for _, tick in ticks] == [0, 1, 2, 3, 4, 5]
    told = [record.getMessage() for record in caplog.records if "schedule a" in record.getMessage()]
    assert len(told) == 1


async def test_an_error_of_the_store_puts_a_tick_off_and_loses_none(
    yard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = keep_ticks(yard)
    await yard.service.add_schedule("k", "q", "job", every=10, catch_up="all")
    fire = yard.service.backend.fire

    async def refuse(*args: Any, **kwargs: Any) -> Any:
        if 5 < yard.now < 32:
            raise StoreBusy
        return await fire(*args, **kwargs)

    monkeypatch.setattr(yard.service.backend, "fire", refuse)
    async with yard.working():
        await asyncio.sleep(45)
    assert [tick for _, tick in ticks] == [0, 10, 20, 30, 40]


async def test_a_worker_that_leaves_schedules_alone_fires_none(yard: Any) -> None:
    ticks = keep_ticks(yard)
    await yard.service.add_schedule("k", "q", "job", every=1)
    async with yard.working(schedules=False):
        await asyncio.sleep(5)
    assert ticks == []


async def test_running_until_idle_fires_what_has_come(yard: Any) -> None:
    ticks = keep_ticks(yard)
    await yard.service.add_schedule("k", "q", "job", every=10, immediately=True)
    await yard.service.run_until_idle()
    assert [tick for _, tick in ticks] == [0]
    await asyncio.sleep(10)
    await yard.service.run_until_idle()
    assert [tick for _, tick in ticks] == [0, 10]


async def test_k128_a_schedule_that_nobody_adds_any_more_is_forgotten(yard: Any) -> None:
    ticks = keep_ticks(yard)
    service = yard.service
    await service.add_schedule("kept", "q", "job", every=300, keep_for=600)
    await service.add_schedule("plain", "q", "job", every=300)
    worker = service.worker()
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(3_000)  # the worker's own program adds it again
    assert [each.key for each in await service.list_schedules()] == ["kept", "plain"]
    await worker.stop()
    await running

    service._kept.clear()  # as another program would have it
    async with yard.working():
        await asyncio.sleep(1_300)
    assert [each.key for each in await service.list_schedules()] == ["plain"]
    assert len(ticks) > 20
    job_id = await yard.add()
    assert (await yard.record(job_id)).state == "waiting", "a producer goes on all the same"
    await service.add_schedule("kept", "q", "job", every=300, keep_for=600)
    assert len(await service.list_schedules()) == 2


async def test_k128_one_with_a_job_that_has_not_ended_is_kept(yard: Any) -> None:
    service = yard.service
    await service.add_schedule("k", "others", "job", every=3_600, immediately=True, keep_for=60)
    service._kept.clear()
    yard.handle(lambda job: None, "other")
    async with yard.working():
        await asyncio.sleep(300)
        assert [each.key for each in await service.list_schedules()] == ["k"]
        (job,) = await service.list_jobs("others")
        await job.remove()
        await asyncio.sleep(120)
    assert await service.list_schedules() == []
