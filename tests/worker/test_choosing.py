"""How many jobs run at once, and which."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from jobyard import Job, JobState, Reason
from jobyard.errors import StoreBusy
from jobyard.lease import Claim, Source


async def test_at_most_concurrency_run_at_once(yard: Any) -> None:
    running = most = 0

    async def handler(job: Job) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    yard.handle(handler)
    ids = [await yard.add() for _ in range(20)]

    await yard.run_until(ids, concurrency=3)

    assert (most, yard.now) == (3, pytest.approx(7, abs=0.1))


@pytest.mark.parametrize("orphan_policy", ["leave", "fail"])
async def test_each_name_keeps_its_own_limit(yard: Any, orphan_policy: str) -> None:
    running = {"one": 0, "four": 0, "any": 0}
    most = dict(running)

    async def handler(job: Job) -> None:
        running[job.name] += 1
        most[job.name] = max(most[job.name], running[job.name])
        await asyncio.sleep(1)
        running[job.name] -= 1

    yard.handle(handler, "one", concurrency=1)
    yard.handle(handler, "four", concurrency=4)
    yard.handle(handler, "any")
    ids = [await yard.add(name=name) for _ in range(8) for name in running]

    await yard.run_until(ids, concurrency=20, orphan_policy=orphan_policy)

    assert (most["one"], most["four"]) == (1, 4)
    assert most["any"] > 4
    assert yard.now == pytest.approx(8, abs=0.2)


@pytest.mark.parametrize("fails", [False, True])
async def test_what_comes_before_notices_do_is_found_as_soon_as_they_come(
    yard: Any, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """A connection that listens may be there long after the first look."""
    inner = yard.service.backend.listen
    tries: list[float] = []

    @contextlib.asynccontextmanager
    async def late(wake: Any, **which: Any) -> AsyncIterator[None]:
        tries.append(yard.now)
        await asyncio.sleep(5)
        if fails and len(tries) == 1:
            raise StoreBusy
        async with inner(wake, **which):
            yield

    monkeypatch.setattr(yard.service.backend, "listen", late)
    yard.handle(yard.noting(lambda job: asyncio.sleep(0)))
    async with yard.working(poll_interval=3_600):
        await asyncio.sleep(1)
        job_id = await yard.add()
        await yard.until(job_id)

    assert yard.starts == [pytest.approx(tries[-1] + 5)]


async def test_200_instant_jobs_do_not_wait_for_the_poll(yard: Any) -> None:
    async def handler(job: Job) -> None: ...

    yard.handle(handler)
    ids = [await yard.add() for _ in range(200)]

    await yard.run_until(ids, concurrency=1)

    assert yard.now < 0.5


async def test_jobs_without_a_handler_are_left_alone(yard: Any) -> None:
    async def handler(job: Job) -> None: ...

    yard.handle(handler)
    foreign = await yard.add(name="foreign")
    await yard.run_until([await yard.add()])

    record = await yard.record(foreign)
    assert (record.state, record.fence) == (JobState.WAITING, 0)


async def test_jobs_without_a_handler_fail_when_asked_to(yard: Any) -> None:
    async def handler(job: Job) -> None: ...

    yard.handle(handler)
    foreign = await yard.add(name="foreign", attempts=5)

    records = await yard.run_until([await yard.add(), foreign], orphan_policy="fail")

    assert [record.state for record in records] == [JobState.COMPLETED, JobState.FAILED]
    assert records[1].reason is Reason.ORPHANED


async def test_a_handler_registered_or_replaced_later_is_used(yard: Any) -> None:
    async def one(job: Job) -> int:
        return 1

    async def two(job: Job) -> int:
        return 2

    async with yard.working():
        await asyncio.sleep(1)
        yard.handle(one)
        first = await yard.until(await yard.add())
        yard.handle(two, replace=True)
        second = await yard.until(await yard.add())

    assert (first.result, second.result) == (b"1", b"2")


async def test_queues_may_be_chosen(yard: Any) -> None:
    async def handler(job: Job) -> None: ...

    yard.service.register_worker("a", "x", handler)
    yard.service.register_worker("b", "x", handler)
    a = await yard.service.add_job("a", "x", 1)
    b = await yard.service.add_job("b", "x", 1)

    await yard.run_until([a.id], queues=["a"])

    assert (await yard.record(b.id)).state is JobState.WAITING


async def test_a_paused_worker_starts_nothing_and_others_go_on(yard: Any) -> None:
    async def handler(job: Job) -> None:
        await asyncio.sleep(1)

    yard.handle(handler)
    async with yard.working() as worker:
        running = await yard.add()
        await yard.until(running, JobState.ACTIVE)
        worker.pause()
        waiting = await yard.add()
        await yard.until(running)
        await asyncio.sleep(10)
        assert (await yard.record(waiting)).state is JobState.WAITING
        async with yard.working():
            await yard.until(waiting)
        later = await yard.add()
        worker.resume()
        await yard.until(later)


async def test_a_paused_queue_is_not_claimed(yard: Any) -> None:
    async def handler(job: Job) -> None:
        await asyncio.sleep(1)

    yard.handle(handler)
    async with yard.working():
        running = await yard.add()
        await yard.until(running, JobState.ACTIVE)
        await yard.service.pause_queue("q")
        waiting = await yard.add()
        await yard.until(running)
        await asyncio.sleep(10)
        assert (await yard.record(waiting)).state is JobState.WAITING
        await yard.service.resume_queue("q")
        await yard.until(waiting)


async def test_until_idle_runs_what_is_due_and_counts(yard: Any) -> None:
    async def handler(job: Job) -> None:
        if job.data == "more":
            await yard.add("last")
        if job.data == "fails":
            raise ValueError

    yard.handle(handler)
    await yard.add("more")
    await yard.add("fails", attempts=2, backoff=0)
    later = await yard.add(delay=100)

    assert await yard.worker().run_until_idle() == 4
    assert (await yard.record(later)).state is JobState.DELAYED


async def test_until_idle_ends_without_any_handler(yard: Any) -> None:
    assert await yard.worker().run_until_idle() == 0


async def test_a_claim_asks_for_names_not_for_everything(yard: Any) -> None:
    async def handler(job: Job) -> None: ...

    yard.handle(handler)
    wanted: list[Claim] = []
    claim = yard.service.backend.claim

    async def spy(want: Claim) -> Any:
        wanted.append(want)
        return await claim(want)

    yard.service.backend.claim = spy
    await yard.worker(concurrency=7).run_until_idle()

    assert wanted[0].sources == (Source(queue="q", names=("job",)),)
    assert wanted[0].limit == 7


async def test_a_store_that_likes_halves_is_asked_for_one_while_the_other_runs(yard: Any) -> None:
    backend = yard.service.backend
    backend.claims_by_halves = True
    limits: list[int] = []
    calls = running = most = meanwhile = 0

    async def handler(job: Job) -> None:
        nonlocal running, most, meanwhile
        running += 1
        most = max(most, running)
        meanwhile += calls
        await asyncio.sleep(1)
        running -= 1

    def slow(call: Any) -> Any:
        async def spy(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            want = options.get("claim") or arguments[0]
            if isinstance(want, Claim):
                limits.append(want.limit)
            calls += 1
            for _ in range(5):
                await asyncio.sleep(0)
            calls -= 1
            return await call(*arguments, **options)

        return spy

    yard.handle(handler)
    await yard.service.add_jobs("q", [("job", None)] * 1_200)
    backend.claim, backend.settle = slow(backend.claim), slow(backend.settle)

    assert await yard.worker(concurrency=400).run_until_idle() == 1_200
    assert max(limits) == 200
    assert most == 400, "all slots are used all the same"
    assert meanwhile > 0, "no job started while a claim was under way"


async def test_few_slots_are_claimed_for_at_once(yard: Any) -> None:
    backend = yard.service.backend
    backend.claims_by_halves = True
    wanted: list[int] = []
    claim = backend.claim

    async def spy(want: Claim) -> Any:
        wanted.append(want.limit)
        return await claim(want)

    async def handler(job: Job) -> None: ...

    backend.claim = spy
    yard.handle(handler)
    await yard.worker(concurrency=100).run_until_idle()
    assert wanted[0] == 100
