"""K-053, K-087, K-110 to K-115, B-15: dependencies, flows, dedup keys."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import pytest
from tests.patience import PATIENCE

from jobyard import (
    Dedup,
    Dependency,
    FlowJob,
    JobFailed,
    JobNotFound,
    JobState,
    QueueService,
    Reason,
    RetentionPolicy,
)
from jobyard.durations import from_ms
from jobyard.errors import InvalidOption, PayloadNotPortable
from jobyard.job import OnParentFailure


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


async def test_k110_a_job_waits_for_those_it_depends_on(service: QueueService, ran: list) -> None:
    first = await service.add_job("q", "n", "first", delay=600)
    second = await service.add_job("q", "n", "second", depends_on=first)
    third = await service.add_job("r", "n", "third", depends_on=[first, second.id])
    assert (second.state, third.state) == (JobState.BLOCKED, JobState.BLOCKED)
    assert await service.run_until_idle() == 0
    await first.promote()
    running = asyncio.create_task(service.worker(poll_interval=0.05).run())
    assert await third.wait(timeout=PATIENCE) == "third done"
    assert ran == ["first", "second", "third"]
    await service.close()
    await running


async def test_k111_the_failure_of_a_job_fails_those_that_depend_on_it(
    service: QueueService, ran: list
) -> None:
    a = await service.add_job("q", "n", "fail")
    b = await service.add_job("q", "n", "b", depends_on=a)
    c = await service.add_job("q", "n", "c", depends_on=b)
    d = await service.add_job("q", "n", "d", depends_on=a, on_parent_failure="ignore")
    e = await service.add_job(
        "q", "n", "e", depends_on=[Dependency(parent=b.id, on_failure=OnParentFailure.IGNORE), d]
    )
    await service.run_until_idle()
    for job in (b, c):
        ended = await job.refresh()
        assert (ended.state, ended.reason) == (JobState.FAILED, Reason.DEPENDENCY)
        with pytest.raises(JobFailed, match="dependency"):
            await job.wait(timeout=PATIENCE)
    assert [(await job.refresh()).state for job in (d, e)] == [JobState.COMPLETED] * 2
    assert ran == ["fail", "d", "e"]


async def test_k112_dependency_edge_cases(service: QueueService, ran: list) -> None:
    with pytest.raises(JobNotFound, match="nothing was added: the job depends on nobody"):
        await service.add_job("q", "n", depends_on="nobody")
    with pytest.raises(JobNotFound, match="nothing was added"):
        await service.add_jobs("q", [("n", 1), ("n", 2, {"depends_on": "nobody"})])
    assert await service.list_queues() == []
    done, failed = await service.add_jobs("q", [("n", "done"), ("n", "fail")])
    await service.run_until_idle()
    after = await service.add_job("q", "n", "after", depends_on=done)
    assert after.state is JobState.WAITING
    never = await service.add_job("q", "n", "never", depends_on=[done, failed])
    assert never.state is JobState.FAILED
    assert (await never.refresh()).reason is Reason.DEPENDENCY
    for bad in (3, [after, after.id], [None]):
        with pytest.raises(InvalidOption):
            await service.add_job("q", "n", depends_on=bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption):
        await service.add_job("q", "n", depends_on=after, on_parent_failure="retry")  # type: ignore[arg-type]


async def test_k053_a_blocked_job_past_its_ttl_ends_expired(
    service: QueueService, eventually
) -> None:
    parent = await service.add_job("q", "n", delay=600)
    child = await service.add_job("q", "n", depends_on=parent, ttl=0.1)
    assert child.state is JobState.BLOCKED

    async def is_over() -> bool:
        await service.backend.reap(limit=10)
        return (await child.refresh()).state is JobState.FAILED

    await eventually(is_over)
    assert (await child.refresh()).reason is Reason.EXPIRED
    assert (await parent.refresh()).state is JobState.DELAYED


async def test_k113_a_job_reads_the_results_it_depends_on(service: QueueService) -> None:
    read = {}

    @service.handler("q", "part")
    async def part(job):
        if job.data is None:
            raise RuntimeError
        return job.data * 10

    @service.handler("q", "sum")
    async def total(job):
        read["async"] = await job.parent_results()
        return sum(read["async"].values())

    @service.handler("q", "sum-in-a-thread")
    def total_in_a_thread(job):
        return sum(job.parent_results().values())

    parts = [await service.add_job("q", "part", n) for n in (1, 2, None)]
    sums = [
        await service.add_job("q", name, depends_on=parts, on_parent_failure="ignore")
        for name in ("sum", "sum-in-a-thread")
    ]
    await service.run_until_idle()
    assert [await job.wait(timeout=PATIENCE) for job in sums] == [30, 30]
    assert read["async"] == {parts[0].id: 10, parts[1].id: 20}, "in order, and those that completed"
    assert [job.id for job in await sums[0].parents()] == [job.id for job in parts]
    assert await parts[0].parents() == []


async def test_k114_a_flow_is_added_whole_and_runs_in_order(
    service: QueueService, ran: list
) -> None:
    shared = FlowJob("q", "n", "shared")
    left = FlowJob("r", "n", "left", depends_on=[shared])
    right = FlowJob("r", "n", "right", depends_on=shared, priority="high")
    root = FlowJob("q", "n", "root", depends_on=[left, right], job_id="root")
    jobs = await service.add_flow(root)
    assert [job.data for job in jobs] == ["shared", "left", "right", "root"]
    assert [job.state for job in jobs] == [JobState.WAITING, *[JobState.BLOCKED] * 3]
    assert (jobs[-1].id, jobs[2].priority) == ("root", 10)
    assert await service.run_until_idle(concurrency=1) == 4
    assert ran == ["shared", "right", "left", "root"]
    assert await jobs[-1].parent_results() == {
        jobs[1].id: "left done",
        jobs[2].id: "right done",
    }


async def test_k114_a_flow_with_a_fault_adds_nothing(service: QueueService, ran: list) -> None:
    good = FlowJob("q", "n", "good")
    for bad, error in (
        (FlowJob("r", "n", {1, 2}, depends_on=[good]), PayloadNotPortable),
        (FlowJob("r", "n", depends_on=[good, "nobody"]), JobNotFound),
        (FlowJob("r", "n", depends_on=[good], priority=1000), InvalidOption),
        (FlowJob("r", "n", depends_on=[good], no_such_option=1), TypeError),  # type: ignore[call-arg]
        ("good", InvalidOption),
    ):
        with pytest.raises(error):
            await service.add_flow(bad)  # type: ignore[arg-type]
    assert await service.list_queues() == []
    assert await service.add_flow() == []


async def test_a_long_chain_is_a_flow(service: QueueService, ran: list) -> None:
    job = FlowJob("q", "n", 0)
    for number in range(1, 1_200):
        job = FlowJob("q", "n", number, depends_on=job)
    jobs = await service.add_flow(job)
    assert [each.data for each in jobs] == list(range(1_200))
    assert (await service.get_stats("q")).blocked == 1_199


async def test_k087_what_is_needed_is_not_swept(make, eventually) -> None:
    service = await make(retention=RetentionPolicy(completed=0, failed=0))

    @service.handler("q", "n")
    async def n(job):
        return job.data

    parent, other = await service.add_jobs("q", [("n", 1), ("n", 2)], remove_on_complete=True)
    child = await service.add_job("q", "n", 3, depends_on=parent, delay=600)
    await service.run_until_idle()
    with pytest.raises(JobNotFound):
        await other.refresh()
    assert (await parent.refresh()).result == 1
    await child.promote()
    await service.run_until_idle()
    assert await service.clean_jobs(["completed"], older_than=0) >= 0
    assert (await service.get_stats("q")).blocked == 0


async def test_k115_a_key_that_is_held_lets_no_other_in(service: QueueService, record) -> None:
    seen = record(service)
    first = await service.add_job("q", "n", 1, dedup="report:7")
    second = await service.add_job("q", "n", 2, dedup="report:7")
    assert (first.is_duplicate, second.is_duplicate) == (False, True)
    assert (second.id, second.state) == (first.id, JobState.WAITING)
    assert (await seen.until("deduplicated"))[0].job_id == first.id
    assert [job.data for job in await service.list_jobs("q")] == [1]
    other, elsewhere = (
        await service.add_job("q", "n", 3, dedup="report:8"),
        await service.add_job("r", "n", 3, dedup="report:7"),
    )
    assert not (other.is_duplicate or elsewhere.is_duplicate)

    @service.handler("q", "n")
    async def n(job):
        inside = await service.add_job("q", "n", 4, dedup="report:7")
        return inside.is_duplicate

    await service.run_until_idle()
    assert await first.wait(timeout=PATIENCE) is True, "held until the job has ended"
    assert not (await service.add_job("q", "n", 5, dedup="report:7")).is_duplicate


async def test_k115_of_many_at_once_one_is_added(make) -> None:
    services = [await make() for _ in range(3)]
    jobs = await asyncio.gather(
        *(services[n % 3].add_job("q", "n", n, dedup="one") for n in range(30))
    )
    assert sum(not job.is_duplicate for job in jobs) == 1
    assert len({job.id for job in jobs}) == 1
    assert len(await services[0].list_jobs("q")) == 1


async def test_k115_the_modes_of_a_key(service: QueueService, ran: list, eventually) -> None:
    ttls = iter((0.4, 4, 40))
    while True:
        ttl = next(ttls)
        key = f"k{ttl}"
        held = await service.add_job("q", "n", "held", dedup=Dedup(key, ttl=ttl))
        await service.run_until_idle()
        assert (await held.refresh()).state is JobState.COMPLETED
        kept = await service.add_job("q", "n", "kept out", dedup=Dedup(key, mode="extend", ttl=600))
        over = (await held.refresh()).created_at + timedelta(seconds=ttl)

        async def is_past(over=over) -> bool:
            return from_ms((await service.backend.ping()).now) > over

        if kept.is_duplicate or not await is_past():
            break  # else the machine took longer than the key was held
    assert kept.is_duplicate, "the key outlives its job"
    await eventually(is_past)
    assert (await service.add_job("q", "n", "out", dedup=key)).is_duplicate, "extended"

    waiting = await service.add_job("q", "n", "old", dedup="r", delay=600)
    new = await service.add_job(
        "q", "n", "new", priority="high", dedup=Dedup("r", mode="replace"), delay=60
    )
    assert new.id == waiting.id
    now = await waiting.refresh()
    assert (now.data, now.priority) == ("new", 10)
    for bad in (Dedup, "", "a\nb", 7, "x" * 129):
        with pytest.raises(InvalidOption):
            await service.add_job("q", "n", dedup=bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="needs a ttl"):
        Dedup("k", mode="extend")
    with pytest.raises(InvalidOption, match="mode"):
        Dedup("k", mode="overwrite")  # type: ignore[arg-type]


async def test_b15_debounce_runs_the_latest_once(service: QueueService, ran: list) -> None:
    key = Dedup.debounce("search")
    _, _, job = [
        await service.add_job("q", "n", text, delay=0.3, dedup=key) for text in ("a", "ab", "abc")
    ]
    assert job.is_duplicate
    stored = await job.refresh()
    (listed,) = await service.list_jobs("q")
    assert listed.id == stored.id
    running = asyncio.create_task(service.worker(poll_interval=0.05).run())
    await job.wait(timeout=PATIENCE)
    assert ran == ["abc"]
    assert (await job.refresh()).started_at >= stored.due_at
    await service.close()
    await running


async def test_b15_throttle_adds_one_a_window(service: QueueService, ran: list, eventually) -> None:
    added = []

    async def three() -> bool:
        job = await service.add_job("q", "n", "x", dedup=Dedup.throttle("t", per=0.3))
        if not job.is_duplicate:
            added.append(await job.refresh())
        await service.run_until_idle()
        return len(added) == 3

    await eventually(three)
    for one, other in itertools.pairwise(added):
        assert (other.created_at - one.created_at).total_seconds() >= 0.3
