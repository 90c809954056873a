"""K-100 to K-104, B-13: groups, which run their jobs a few at a time and in order."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict

import msgspec
import pytest
from tests.patience import PATIENCE

from jobyard import Group, Job, JobState, QueueService
from jobyard.errors import InvalidOption, LeaseLost


class Track:
    """Notes in which order the jobs of each key run, and how many of them at once."""

    def __init__(self) -> None:
        self.order: dict[str, list[int]] = defaultdict(list)
        self.at_once: Counter[str] = Counter()
        self.peaks: Counter[str] = Counter()
        self.peak = 0

    async def run(self, job) -> None:
        key, number = job.data
        self.order[key].append(number)
        self.at_once[key] += 1
        self.peaks[key] = max(self.peaks[key], self.at_once[key])
        self.peak = max(self.peak, self.at_once.total())
        await asyncio.sleep(0.002)
        self.at_once[key] -= 1


class Change(msgspec.Struct):
    user: str
    number: int


async def work_off(make, track: Track, workers: int, names: tuple[str, ...] = ("n",)) -> None:
    """Run all jobs of queue "q" on several workers."""
    services = [await make() for _ in range(workers)]
    for service in services:
        for name in names:
            service.register_worker("q", name, track.run)
    work = [asyncio.create_task(each.worker(poll_interval=0.05).run()) for each in services]

    async with asyncio.timeout(PATIENCE):
        while True:
            stats = await services[0].get_stats("q")
            if not stats.waiting + stats.delayed + stats.blocked + stats.active:
                break
            await asyncio.sleep(0.02)
    for service in services:
        await service.close()
    await asyncio.gather(*work)


async def test_k100_a_group_never_overlaps_and_keeps_its_order(make) -> None:
    service, track = await make(), Track()
    await service.add_jobs(
        "q", [("n", [key, n], {"group": key}) for n in range(50) for key in ("g", "h", "i")]
    )
    await work_off(make, track, workers=4)
    assert track.order == {key: list(range(50)) for key in "ghi"}
    assert track.peaks == dict.fromkeys("ghi", 1)
    assert track.peak > 1, "other groups run in parallel"


async def test_k101_a_key_read_off_the_payload_and_one_given(make) -> None:
    service, track = await make(), Track()
    service.group_by("q", "by-key", lambda data: data[0], limit=1)
    read = await service.add_jobs("q", [("by-key", ["g", n]) for n in range(10)])
    given = [await service.add_job("q", "given", ["x", n], group="x") for n in range(10)]
    own = await service.add_job("q", "by-key", ["g", 99], group="other")
    assert [job.group for job in (read[0], given[0], own)] == ["g", "x", "other"]
    assert (await read[0].refresh()).group == "g"
    await work_off(make, track, workers=2, names=("by-key", "given"))
    assert [n for n in track.order["g"] if n != 99] == list(range(10))
    assert track.order["x"] == list(range(10))
    assert track.peaks["x"] == 1
    service.group_by("q", "none", lambda data: data.get("user"))
    assert (await service.add_job("q", "none", {})).group is None
    assert (await service.add_job("q", "none", {"user": 7})).group == "7"
    with pytest.raises(InvalidOption):
        await service.add_job("q", "none", {"user": ["a"]})
    with pytest.raises(InvalidOption):
        service.group_by("q", "none", "user")
    with pytest.raises(InvalidOption):
        service.group_by("q", "none", str, limit=0)


async def test_k101_a_definition_reads_the_key_off_its_payload(make) -> None:
    service, track = await make(), Track()

    @service.job("q", group_key=lambda change: change.user)
    async def apply(change: Change, job: Job) -> None:
        track.order[change.user].append(change.number)
        track.at_once[change.user] += 1
        track.peaks[change.user] = max(track.peaks[change.user], track.at_once[change.user])
        await asyncio.sleep(0.002)
        track.at_once[change.user] -= 1

    changes = [Change(user, number) for number in range(10) for user in ("ada", "bob")]
    jobs = await apply.enqueue_many(changes)
    own = await apply.enqueue(Change("ada", 99), group="other")
    assert [job.group for job in (*jobs[:2], own)] == ["ada", "bob", "other"]
    assert jobs[0].data is not None
    await service.run_until_idle()
    assert [n for n in track.order["ada"] if n != 99] == list(range(10))
    assert track.order["bob"] == list(range(10))
    assert track.peaks["bob"] == 1


async def test_k102_a_group_is_free_when_its_job_ends(service: QueueService) -> None:
    ends = []

    @service.handler("q", "n")
    async def n(job):
        ends.append(job.data)
        if job.data == "fails":
            raise RuntimeError
        if job.data == "takes too long":
            await asyncio.sleep(600)

    datas = {"succeeds": 600, "fails": 600, "takes too long": 0.05, "is last": 600}
    jobs = [
        await service.add_job("q", "n", data, group="g", timeout=timeout)
        for data, timeout in datas.items()
    ]
    assert await service.run_until_idle() == 4
    assert ends == ["succeeds", "fails", "takes too long", "is last"]
    assert (await jobs[-1].refresh()).state is JobState.COMPLETED


async def test_k102_a_retried_head_holds_its_group(service: QueueService) -> None:
    await service.add_job("q", "n", 1, group="g", attempts=2, backoff=0.1)
    second = await service.add_job("q", "n", 2, group="g")
    ran = []

    @service.handler("q", "n")
    async def n(job):
        ran.append((job.data, job.attempt))
        if job.data == 1 and job.attempt == 1:
            raise RuntimeError

    running = asyncio.create_task(service.worker(poll_interval=0.05).run())
    await second.wait(timeout=PATIENCE)
    assert ran == [(1, 1), (1, 2), (2, 1)]
    await service.close()
    await running


async def test_k102_k103_an_expired_holder_frees_its_group_once(
    service: QueueService, eventually
) -> None:
    await service.add_jobs("q", [("n", n, {"group": "g"}) for n in range(3)])
    (late,) = await service.claim("q", lease=0.05)

    async def is_back() -> bool:
        await service.backend.reap(limit=10)
        return (await service.get_job(late.id)).state is JobState.WAITING

    await eventually(is_back)
    (again,) = await service.claim("q", limit=3)
    assert again.id == late.id
    with pytest.raises(LeaseLost):
        await late.complete()
    assert await service.claim("q", limit=3) == [], "the group is held by the one that runs"
    await again.complete()
    (second,) = await service.claim("q", limit=3)
    assert second.data == 1


async def test_k104_nothing_is_left_of_a_group(service: QueueService, record) -> None:
    seen = record(service)

    @service.handler("q", "n")
    async def n(job):
        return None

    for key in ("g", "h"):
        await service.add_jobs("q", [("n", n, {"group": key}) for n in range(3)])
    await service.run_until_idle()
    deleted = await seen.until("group_deleted", 2)
    assert sorted(event.data for event in deleted) == ["g", "h"]
    assert {event.queue for event in deleted} == {"q"}


async def test_b13_n_at_a_time_and_fair(make) -> None:
    service, track = await make(), Track()
    group = Group(key="big", limit=3)
    await service.add_jobs("q", [("n", ["big", n], {"group": group}) for n in range(200)])
    await service.add_jobs("q", [("n", ["small", n], {"group": "small"}) for n in range(5)])
    await work_off(make, track, workers=2)
    assert sorted(track.order["big"]) == list(range(200))
    assert track.peaks == {"big": 3, "small": 1}


async def test_b13_a_small_group_does_not_wait_for_a_big_one(service: QueueService) -> None:
    order = []

    @service.handler("q", "n")
    async def n(job):
        order.append(job.data)
        await asyncio.sleep(0.002)  # jobs of one millisecond go by their number, not by turns

    await service.add_jobs("q", [("n", "big", {"group": "big"}) for _ in range(50)])
    await service.add_jobs("q", [("n", "small", {"group": "small"}) for _ in range(5)])
    await service.run_until_idle(concurrency=1)
    assert order.index("small") <= 1
    assert len(order) == 55
    assert max(at for at, key in enumerate(order) if key == "small") <= 11, "they take turns"
