"""K-003, K-010, K-054 to K-058, K-142, K-153: several processes on one store, and their deaths."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.patience import PATIENCE

from jobyard import JobFailed, JobState, QueueService, RateLimit, Reason
from jobyard.errors import StoreBusy

CHILD = Path(__file__).with_name("child.py")


class Child:
    """Another process, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[dict] = []
        self.complaints = ""
        self._more = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        # The last line of a killed process may be torn.
        async for line in self.process.stdout:
            with contextlib.suppress(ValueError):
                self.said.append(json.loads(line))
                self._more.set()
        assert self.process.stderr is not None
        self.complaints = (await self.process.stderr.read()).decode()

    async def until(self, condition: Callable[[list[dict]], bool]) -> list[dict]:
        async with asyncio.timeout(PATIENCE):
            while not condition(self.said):
                self._more.clear()
                await self._more.wait()
        return self.said

    def send(self, signal_number: int) -> None:
        """Send a signal.

        `Process.send_signal` would take the exit code of one that has just ended by itself away
        from who waits for it.
        """
        if self.process.returncode is None:
            # It may have ended, and been waited for, while its exit code is still on its way here.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal_number)

    async def end(self, signal_number: int) -> int:
        self.send(signal_number)
        async with asyncio.timeout(PATIENCE):
            code = await self.process.wait()
            await self._reader
        return code


@pytest.fixture
async def spawn() -> AsyncIterator[Callable]:
    children: list[Child] = []

    async def start(role: str, url: str, argument: object, lease: float = 60) -> Child:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(CHILD), role, url, str(argument), str(lease)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        child = Child(process)
        children.append(child)
        await child.until(lambda said: any("ready" in fact for fact in said))
        return child

    yield start
    for child in children:
        if child.process.returncode is None:
            await child.end(signal.SIGKILL)


async def freeze_outside_a_write(child: Child, service: QueueService) -> None:
    """Stop a process while it does not hold the store's write lock, if the store has one.

    One that is stopped inside a write stops everybody: that is another case than this.
    """
    patience = 1.0
    async with asyncio.timeout(2 * PATIENCE):
        while True:
            child.send(signal.SIGSTOP)
            try:
                async with asyncio.timeout(patience):
                    await service.resume_queue("probe")
            except (TimeoutError, StoreBusy):
                child.send(signal.SIGCONT)
                patience *= 2  # or it is the machine that takes so long
                await asyncio.sleep(0.01)
            else:
                return


async def all_done(service: QueueService, count: int) -> None:
    """Wait for so many jobs, as long as some are done all the time."""
    done, since = 0, time.monotonic()
    while done < count:
        assert time.monotonic() - since < PATIENCE, f"no more than {done} were done"
        now = (await service.get_stats("q")).completed
        if now > done:
            done, since = now, time.monotonic()
        await asyncio.sleep(0.05)


@pytest.mark.case("B28")
async def test_k003_ten_processes_migrate_at_once(shared_url: str, spawn, tmp_path: Path) -> None:
    children = await asyncio.gather(
        *(spawn("migrate", shared_url, tmp_path / "begin") for _ in range(10))
    )
    (tmp_path / "begin").touch()
    for child in children:
        await child.until(lambda said: said[-1] == {"migrated": True})
        assert await child.end(0) == 0
    async with QueueService(shared_url, migrate="check") as service:
        await service.add_job("q", "n", 1)
        assert [job.data for job in await service.list_jobs("q")] == [1]


@pytest.mark.case("N29", on=("sqlite",))
@pytest.mark.timeout(900)
async def test_k010_k058_every_job_runs_exactly_once(shared_url: str, spawn) -> None:
    count = 20_000
    async with QueueService(shared_url) as service:
        for start in range(0, count, 5_000):
            await service.add_jobs("q", [("quick", n) for n in range(start, start + 5_000)])
        workers = await asyncio.gather(*(spawn("work", shared_url, 50) for _ in range(4)))
        await all_done(service, count)
        codes = [await worker.end(signal.SIGTERM) for worker in workers]
        ran = Counter(fact["ran"] for w in workers for fact in w.said if "ran" in fact)
        assert codes == [0] * 4
        assert [worker.complaints for worker in workers] == [""] * 4
        assert ran == Counter(range(count))
        stats = await service.get_stats("q")
        assert (stats.completed, stats.active, stats.total) == (count, 0, count)


@pytest.mark.case("F02", "F03")
async def test_k054_the_jobs_of_a_killed_worker_run_again(
    shared_url, spawn, record, eventually
) -> None:
    async with QueueService(shared_url) as service:
        seen = record(service, "stalled")
        jobs = await service.add_jobs("q", [("hold", n, {"max_crashes": 100}) for n in range(5)])
        first = await spawn("hold", shared_url, 10, lease=1)
        await first.until(lambda said: len({fact["ran"] for fact in said if "ran" in fact}) == 5)
        await first.end(signal.SIGKILL)
        second = await spawn("work", shared_url, 10)
        results = await asyncio.gather(*(job.wait(timeout=PATIENCE) for job in jobs))
        assert set(results) == {second.process.pid}

        async def each_was_told() -> bool:
            return {event.job_id for event in seen.events} == {job.id for job in jobs}

        await eventually(each_was_told)
        starts = Counter(f["ran"] for each in (first, second) for f in each.said if "ran" in f)
        cut = Counter(fact["cut"] for fact in first.said if "cut" in fact)
        for job in jobs:
            ended = await job.refresh()
            assert ended.failures == 0
            # One, unless the first lost its lease before it was killed, and began again.
            # A fence grows with each lease; by how much is the store's business.
            assert 1 <= starts[job.data] - 1 <= ended.crashes + cut[job.data]
            assert 1 <= ended.crashes < ended.fence


@pytest.mark.case("F16")
async def test_k055_a_job_that_kills_its_workers_ends(shared_url: str, spawn) -> None:
    async with QueueService(shared_url) as service:
        job = await service.add_job("q", "poison", 0, max_crashes=2)
        bystander = await service.add_job("q", "quick", 1, delay=0.5)
        for crashes in range(2):
            worker = await spawn("work", shared_url, 1, lease=2)
            said = await worker.until(lambda said: any(f.get("ran") == 0 for f in said))
            assert next(f for f in said if f.get("ran") == 0)["crashes"] == crashes
            assert await worker.end(signal.SIGTERM) == -signal.SIGKILL
        await spawn("work", shared_url, 1)
        with pytest.raises(JobFailed, match="crash_loop"):
            await job.wait(timeout=PATIENCE)
        ended = await job.refresh()
        assert (ended.state, ended.reason) == (JobState.FAILED, Reason.CRASH_LOOP)
        assert (ended.crashes, ended.failures) == (2, 0)
        assert await bystander.wait(timeout=PATIENCE) is not None


@pytest.mark.case("Z01", "Z03")
async def test_k057_a_frozen_worker_cannot_settle_what_another_finished(shared_url, spawn) -> None:
    async with QueueService(shared_url) as service:
        job = await service.add_job("q", "hold", 0, max_crashes=100)
        frozen = await spawn("hold", shared_url, 1, lease=1)
        await frozen.until(lambda said: any("ran" in fact for fact in said))
        await freeze_outside_a_write(frozen, service)
        other = await spawn("work", shared_url, 1)
        assert await job.wait(timeout=PATIENCE) == other.process.pid
        fence = (await job.refresh()).fence
        frozen.send(signal.SIGCONT)
        assert await frozen.end(signal.SIGTERM) == 0
        ended = await job.refresh()
        assert (ended.result, ended.fence) == (other.process.pid, fence)


@pytest.mark.case("F07")
async def test_no_acknowledged_add_is_lost_to_a_kill(shared_url: str, spawn) -> None:
    producers = [await spawn("produce", shared_url, 0) for _ in range(2)]
    for producer in producers:
        await producer.until(lambda said: len(said) > 200)
        await producer.end(signal.SIGKILL)
    acknowledged = [f["added"] for p in producers for f in p.said if "added" in f]
    async with QueueService(shared_url) as service:
        stored = [job.id async for job in service.iter_jobs("q")]
    assert set(acknowledged) <= set(stored)
    assert len(stored) <= len(acknowledged) + len(producers)


async def test_k142_a_killed_worker_is_listed_no_longer_than_its_lease(
    shared_url: str, spawn, eventually
) -> None:
    async with QueueService(shared_url) as service:
        short = await spawn("work", shared_url, 3, lease=1)
        long = await spawn("work", shared_url, 3, lease=600)

        async def pids() -> set[int | None]:
            return {each.pid for each in await service.list_workers()}

        async def both_are_listed() -> bool:
            return await pids() == {short.process.pid, long.process.pid}

        await eventually(both_are_listed)
        for worker in (short, long):
            await worker.end(signal.SIGKILL)

        async def is_gone() -> bool:
            return short.process.pid not in await pids()

        await eventually(is_gone)
        assert await pids() == {long.process.pid}


async def test_a_job_of_another_process_wakes_a_worker(shared_url: str, spawn) -> None:
    worker = await spawn("sleep", shared_url, 600)
    async with QueueService(shared_url) as service:
        for _ in range(3):
            job = await service.add_job("q", "quick")
            assert await job.wait(timeout=PATIENCE) == worker.process.pid
    assert await worker.end(signal.SIGTERM) == 0


@pytest.mark.case("F12")
async def test_k153_sigterm_ends_a_worker_with_nothing_left(shared_url: str, spawn) -> None:
    async with QueueService(shared_url) as service:
        await service.add_jobs("q", [("quick", n) for n in range(2_000)])
        worker = await spawn("work", shared_url, 5)
        await worker.until(lambda said: len(said) > 20)
        assert await worker.end(signal.SIGTERM) == 0
        assert worker.said[-1] == {"ended": True}
        assert (await service.get_stats("q")).active == 0


@pytest.mark.case("T10", "F09")
async def test_k121_k125_each_tick_is_fired_once(shared_url: str, spawn) -> None:
    """Eight schedulers whose clocks are wrong by up to half a minute; one is killed."""
    skews = (0, 30, -30, 10, -10, 25, -25, 1)
    async with QueueService(shared_url) as service:
        children = await asyncio.gather(
            *(spawn("schedule", shared_url, skew, lease=1) for skew in skews)
        )
        victim = children[0]
        for child, ticks in ((victim, 2), (children[-1], 3)):
            await child.until(lambda said, n=ticks: sum("ran" in fact for fact in said) >= n)
            await victim.end(signal.SIGKILL)
        for child in children[1:]:
            assert await child.end(signal.SIGTERM) == 0, child.complaints
        schedule = await service.get_schedule("k")
        instants = sorted(
            datetime.fromisoformat(job.headers["jobyard-tick"])
            for job in await service.list_jobs("q", limit=10_000)
        )
    assert len(instants) == schedule.fired
    assert instants[-1] == schedule.last_at
    assert schedule.next_at == schedule.last_at + timedelta(seconds=0.1)
    steps = {after - before for before, after in itertools.pairwise(instants)}
    assert steps == {timedelta(seconds=0.1)}, "each tick once, none left out"


async def test_k100_groups_keep_their_order_over_processes_that_die(
    shared_url: str, spawn: Callable
) -> None:
    groups, length = [f"g{n}" for n in range(20)], 50
    async with QueueService(shared_url) as service:
        jobs = await service.add_jobs(
            "q", [("turn", [key, n], {"group": key}) for n in range(length) for key in groups]
        )
        # The one to be killed has leases that last as long as it takes to find out.
        children = [
            await spawn("take_turns", shared_url, 10, lease=lease) for lease in (3, 60, 60, 60)
        ]
        await children[0].until(lambda said: len(said) > 40)
        await children[0].end(signal.SIGKILL)
        await all_done(service, len(jobs))
    for child in children[1:]:
        assert await child.end(signal.SIGTERM) == 0
    turns = [fact for child in children for fact in child.said if "job" in fact]
    last: dict[tuple[str, int], int] = {}
    for fact in turns:
        last[tuple(fact["job"])] = max(fact["fence"], last.get(tuple(fact["job"]), 0))
    # A run that has lost its lease may come to its end whenever it likes.
    turns = [fact for fact in turns if "began" in fact or fact["fence"] == last[tuple(fact["job"])]]
    for key in groups:
        mine = sorted(
            (fact.get("began") or fact["ended"], "ended" in fact, fact["job"][1])
            for fact in turns
            if fact["job"][0] == key
        )
        begun = [number for _, is_end, number in mine if not is_end]
        assert list(dict.fromkeys(begun)) == list(range(length)), "in order"
        for (_, is_end, number), (_, next_is_end, after) in itertools.pairwise(mine):
            if not is_end and not next_is_end:
                assert number == after, "only a run that lost its lease has no end: it runs again"
            elif not is_end:
                assert number == after, "no other job of the group began before it ended"


async def test_k096_a_rate_holds_over_processes(shared_url: str, spawn: Callable) -> None:
    async with QueueService(shared_url) as service:
        await service.limit_queue("q", rate=RateLimit(100, per=1))
        children = [await spawn("work", shared_url, 10) for _ in range(4)]
        await service.add_jobs("q", [("quick", n) for n in range(300)])
        await all_done(service, 300)
        starts = sorted(
            job.started_at for job in await service.list_jobs("q", limit=300) if job.started_at
        )
    for child in children:
        assert await child.end(signal.SIGTERM) == 0
    assert len(starts) == 300
    for sooner, later in zip(starts, starts[100:], strict=False):
        assert later - sooner >= timedelta(seconds=1), "101 starts within a second"
    assert max(Counter(starts).values()) >= 10, "what the rate allows is taken at once"
