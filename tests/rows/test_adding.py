"""K-020 to K-036: adding, delaying, ordering."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.patience import PATIENCE

from jobyard import JobOptions, JobState, QueueService
from jobyard.durations import from_ms
from jobyard.errors import (
    InvalidJob,
    InvalidName,
    InvalidOption,
    InvalidTransition,
    PayloadNotPortable,
    PayloadTooLarge,
    StoreBusy,
)
from jobyard.ids import new_job_id


async def ran_in_order(service: QueueService, queue: str = "q") -> list[object]:
    """Run what is due, one at a time, and tell the payloads in the order of running."""
    order: list[object] = []

    async def keep(job):
        order.append(job.data)

    names = {job.name or None for job in await service.list_jobs(queue, limit=1000)}
    for name in names:
        service.register_worker(queue, name, keep, replace=True)
    await service.run_until_idle(concurrency=1)
    return order


async def test_k020_a_job_is_added_waiting(service: QueueService) -> None:
    job = await service.add_job("emails", "send", {"user": 1})
    assert job.state is JobState.WAITING
    assert isinstance(job.id, str)
    assert (job.queue, job.name, job.data) == ("emails", "send", {"user": 1})
    stored = await service.get_job(job.id)
    assert (stored.state, stored.data, stored.attempts) == (JobState.WAITING, {"user": 1}, 1)


async def test_k021_an_unnamed_job_waits_for_the_default_handler(service: QueueService) -> None:
    job = await service.add_job("q", None, "anonymous")

    @service.handler("q", "other")
    async def other(job):
        raise AssertionError

    assert await service.run_until_idle() == 0
    assert (await job.refresh()).state is JobState.WAITING

    @service.handler("q")
    async def default(job):
        return job.data

    await service.run_until_idle()
    assert (await job.refresh()).result == "anonymous"


async def test_k022_a_bulk_is_all_or_none(service: QueueService, record) -> None:
    seen = record(service)
    bad = [("n", i) for i in range(999)] + [("n", {1, 2})]
    with pytest.raises(PayloadNotPortable, match=r"jobs\[999\]"):
        await service.add_jobs("q", bad)
    assert await service.list_queues() == []
    jobs = await service.add_jobs("q", [("n", i) for i in range(1000)])
    assert [job.data for job in jobs] == list(range(1000))
    listed = await service.list_jobs("q", limit=2000)
    assert [job.id for job in listed] == [job.id for job in jobs]
    assert [job.data for job in listed] == list(range(1000))
    added = await seen.until("added", 1000)
    assert [event.job_id for event in added] == [job.id for job in jobs]


async def test_a_bulk_has_its_limits(service: QueueService) -> None:
    assert await service.add_jobs("q", []) == []
    with pytest.raises(InvalidJob, match="10,000"):
        await service.add_jobs("q", [("n", None)] * 10_001)
    with pytest.raises(InvalidJob, match=r"jobs\[0\]: a job is"):
        await service.add_jobs("q", ["name"])  # type: ignore[list-item]
    with pytest.raises(InvalidOption, match="own"):
        await service.add_jobs("q", [("n", None)], job_id="x")


@pytest.mark.case("B18")
async def test_k023_a_custom_id_makes_one_job(service: QueueService) -> None:
    first = await service.add_job("q", "n", 1, job_id="order:42")
    second = await service.add_job("q", "n", 2, job_id="order:42")
    assert (first.is_duplicate, second.is_duplicate) == (False, True)
    assert second.id == "order:42"
    assert [job.data for job in await service.list_jobs("q")] == [1]
    for bad in ("", "a b", "x" * 129, "ü"):
        with pytest.raises(InvalidName):
            await service.add_job("q", "n", job_id=bad)


@pytest.mark.case("N07")
async def test_b04_an_add_whose_answer_was_lost_may_be_repeated(
    service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = service.backend.add

    async def lost(units, **rest):
        await add(units, **rest)
        raise StoreBusy

    with monkeypatch.context() as patched:
        patched.setattr(service.backend, "add", lost)
        with pytest.raises(StoreBusy):
            await service.add_job("q", "n", 1, job_id="order:42")
    again = await service.add_job("q", "n", 1, job_id="order:42")
    assert again.is_duplicate
    assert [job.id for job in await service.list_jobs("q")] == ["order:42"]


def test_k024_ids_sort_by_their_making() -> None:
    ids = [new_job_id() for _ in range(10_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


async def test_k024_ids_differ_between_processes() -> None:
    script = "from jobyard.ids import new_job_id\nfor _ in range(2000): print(new_job_id())"
    import sys

    outs = await asyncio.gather(
        *(
            asyncio.create_subprocess_exec(
                sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
            )
            for _ in range(4)
        )
    )
    ids = [line for out in outs for line in (await out.communicate())[0].split()]
    assert len(set(ids)) == 8000


async def test_k030_a_delayed_job_waits_its_time(service: QueueService) -> None:
    started = asyncio.get_running_loop().create_future()

    @service.handler("q", "n")
    async def n(job):
        started.set_result(datetime.now(UTC))

    job = await service.add_job("q", "n", delay=0.3)
    assert job.state is JobState.DELAYED
    stored = await job.refresh()
    assert stored.due_at - stored.created_at == timedelta(seconds=0.3)
    running = asyncio.create_task(service.worker().run())
    at = await asyncio.wait_for(started, PATIENCE)
    assert at >= stored.due_at
    await service.close()
    await running


@pytest.mark.case("B14")
async def test_k031_run_at(service: QueueService) -> None:
    now = datetime.now(UTC)
    past = await service.add_job("q", "n", run_at=now - timedelta(hours=1))
    ancient = await service.add_job("q", "n", run_at=datetime(1960, 1, 1, tzinfo=UTC))
    later = await service.add_job("q", "n", run_at=now + timedelta(hours=1))
    assert [past.state, ancient.state, later.state] == ["waiting", "waiting", "delayed"]
    assert abs((await later.refresh()).due_at - (now + timedelta(hours=1))) < timedelta(
        milliseconds=1
    )
    with pytest.raises(InvalidOption, match="time zone"):
        await service.add_job("q", "n", run_at=datetime.now())  # noqa: DTZ005
    with pytest.raises(InvalidOption, match="not both"):
        await service.add_job("q", "n", delay=1, run_at=now)


async def test_k032_claim_as_of_an_instant(service: QueueService) -> None:
    await service.add_job("q", "n", "tomorrow", delay=timedelta(days=1))
    assert await service.claim("q") == []
    (job,) = await service.claim("q", now=datetime.now(UTC) + timedelta(days=2))
    assert job.data == "tomorrow"


async def test_k033_promote_and_reschedule(service: QueueService) -> None:
    job = await service.add_job("q", "n", delay=3600)
    await job.promote()
    assert (await job.refresh()).state is JobState.WAITING
    with pytest.raises(InvalidTransition, match="waiting"):
        await job.promote()
    before = (await service.health()).now
    await job.reschedule(500)
    after = (await service.health()).now
    moved = await job.refresh()
    assert moved.state is JobState.DELAYED
    assert from_ms(before) <= moved.due_at - timedelta(seconds=500) <= from_ms(after)
    with pytest.raises(InvalidOption):
        await job.reschedule()


async def test_k034_priority_order(service: QueueService) -> None:
    for priority in ("low", None, "critical", "high"):
        if priority is None:
            await service.add_job("q", "n")
        else:
            await service.add_job("q", "n", priority, priority=priority)
    assert await ran_in_order(service) == ["critical", "high", None, "low"]


async def test_k035_equal_priorities_run_in_the_order_of_adding(service: QueueService) -> None:
    for n in range(100):
        await service.add_job("q", "n", n)
    assert await ran_in_order(service) == list(range(100))


async def test_lifo_goes_before_all_of_its_priority(service: QueueService) -> None:
    await service.add_job("q", "n", "first")
    await service.add_job("q", "n", "lifo-1", lifo=True)
    await service.add_job("q", "n", "lifo-2", lifo=True)
    await service.add_job("q", "n", "urgent", priority=1)
    assert await ran_in_order(service) == ["urgent", "lifo-2", "lifo-1", "first"]


async def test_k036_a_changed_priority_moves_a_waiting_job(service: QueueService) -> None:
    await service.add_job("q", "n", "normal")
    low = await service.add_job("q", "n", "low", priority="low")
    await low.change_priority("critical")
    assert (await low.refresh()).priority == 20
    assert await ran_in_order(service) == ["low", "normal"]
    with pytest.raises(InvalidOption):
        await low.change_priority(101)


BAD_OPTIONS = [
    {"attempts": 0},
    {"attempts": -1},
    {"attempts": 2**31},
    {"attempts": 1.5},
    {"attempts": True},
    {"retries": -1},
    {"attempts": 3, "retries": 0},
    {"priority": 101},
    {"priority": -101},
    {"priority": True},
    {"priority": 1.0},
    {"priority": math.nan},
    {"priority": "urgent"},
    {"delay": -1},
    {"delay": math.nan},
    {"delay": math.inf},
    {"delay": "5"},
    {"timeout": 0},
    {"timeout": -1},
    {"ttl": 0},
    {"on_timeout": "explode"},
    {"max_crashes": 0},
    {"backoff": -1},
    {"lifo": 1},
    {"remove_on_complete": -1},
    {"headers": {"a": 1}},
    {"tags": "abc"},
    {"keep_logs": -1},
]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=str)
@pytest.mark.case("B13", "B15")
async def test_a_value_out_of_range_is_refused(service: QueueService, options: dict) -> None:
    with pytest.raises(InvalidOption):
        await service.add_job("q", "n", **options)
    with pytest.raises(InvalidOption):
        JobOptions(**options)
    assert await service.list_queues() == []


BAD_PAYLOADS = [
    math.nan,
    [math.inf],
    {1: "a"},
    {True: 1, "true": 2},
    {"a": {1, 2}},
    b"bytes",
    "\ud800",
    {"\udfff": 1},
    object(),
    datetime(2026, 1, 1, tzinfo=UTC),
    10**4400,
]


@pytest.mark.parametrize("payload", BAD_PAYLOADS, ids=lambda p: type(p).__name__)
@pytest.mark.case("B03", "B04", "B05", "B07")
async def test_b11_a_payload_that_would_not_come_back_equal_is_refused(
    service: QueueService, payload: object
) -> None:
    with pytest.raises(PayloadNotPortable, match="the payload"):
        await service.add_job("q", "n", payload)
    assert await service.list_queues() == []


GOOD_PAYLOADS: list[object] = [
    None,
    "",
    [],
    {},
    0,
    -0.0,
    2**53 + 1,
    -(2**53) - 1,
    10**30,
    1.5e300,
    "\u0000 \u2028 😀 \u202eabc",
    {"": [None, True, {"x": [1.5]}]},
    10**4299,
]


@pytest.mark.parametrize("payload", GOOD_PAYLOADS, ids=lambda p: repr(p)[:20])
@pytest.mark.case("B01", "B03", "B05")
async def test_a_payload_comes_back_equal(service: QueueService, payload: object) -> None:
    job = await service.add_job("q", "n", payload)
    assert (await job.refresh()).data == payload
    (claimed,) = await service.claim("q")
    assert claimed.data == payload
    assert type(claimed.data) is type(payload)


@pytest.mark.case("B06", "B08")
async def test_b11_payload_limits(service: QueueService) -> None:
    await service.add_job("q", "n", "x" * (256 * 1024 - 2))
    with pytest.raises(PayloadTooLarge, match="262,144"):
        await service.add_job("q", "n", "x" * (256 * 1024 - 1))
    deep: object = "leaf"
    for _ in range(64):
        deep = [deep]
    await service.add_job("q", "n", deep)
    with pytest.raises(PayloadNotPortable, match="deeper than 64"):
        await service.add_job("q", "n", [deep])
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(PayloadNotPortable, match="deeper than 64"):
        await service.add_job("q", "n", cycle)
    very_deep: object = 1
    for _ in range(100_000):
        very_deep = [very_deep]
    with pytest.raises(PayloadNotPortable):
        await service.add_job("q", "n", very_deep)


async def test_headers_and_tags_travel_with_the_job(service: QueueService) -> None:
    await service.add_job("q", "n", headers={"trace": "abc"}, tags=["a", "b"])
    (job,) = await service.list_jobs("q")
    assert (job.headers, job.tags) == ({"trace": "abc"}, ("a", "b"))
    headers: Any = job.headers
    with pytest.raises(TypeError):
        headers["trace"] = "another's"
    (claimed,) = await service.claim("q")
    assert (claimed.headers, claimed.tags) == ({"trace": "abc"}, ("a", "b"))


async def test_b06_concurrent_adds_share_round_trips(make) -> None:
    service = await make()
    calls = []
    add = service.backend.add

    async def counted(units, **rest):
        calls.append(len(units))
        await asyncio.sleep(0)
        return await add(units, **rest)

    service.backend.add = counted
    jobs = await asyncio.gather(*(service.add_job("q", "n", i) for i in range(50)))
    assert len({job.id for job in jobs}) == 50
    assert [job.data for job in jobs] == list(range(50))
    assert len(calls) <= 3
    assert sum(calls) == 50
    assert (await service.get_stats("q")).waiting == 50
