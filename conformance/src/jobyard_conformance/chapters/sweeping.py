"""Sweeping: draining, cleaning, obliterating, retention."""

from __future__ import annotations

import pytest

from jobyard.edits import Clean, Drain, Obliterate, Retention
from jobyard.errors import QueueNotEmpty
from jobyard.job import FINISHED, JobState, Reason, Retain
from jobyard.lease import Done, Failed, Hold, Settled
from jobyard.metrics import Bucket
from jobyard.query import JobQuery
from jobyard_conformance.builders import QUEUE, spec
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.chapters.states import ENDS, REACHABLE, bring_each
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import START, Yard

HOUR = 3_600_000
FOREVER = 10**12


class Sweeping(Chapter):
    """What `sweep` removes, and in how large steps."""

    chapter = "sweeping"

    @clause("SWEEP-1")
    async def test_a_drain_goes_in_bounded_steps(self, yard: Yard) -> None:
        await yard.backend.add([tuple(spec(f"j{n}", priority=n % 3) for n in range(10))])
        await self._in_steps(yard, Drain(queue=QUEUE), total=10)

    @clause("SWEEP-1")
    async def test_a_drain_of_delayed_jobs_goes_in_bounded_steps(self, yard: Yard) -> None:
        await yard.backend.add([tuple(spec(f"j{n}", delay_ms=n % 2) for n in range(10))])
        await self._in_steps(yard, Drain(queue=QUEUE, delayed=True), total=10)

    @clause("SWEEP-1")
    async def test_a_clean_goes_in_bounded_steps(self, yard: Yard) -> None:
        for n in range(10):
            await yard.finish(spec(queue=f"q{n % 2}"), Done() if n % 3 else ENDS[JobState.STALLED])
        yard.pass_ms(10)
        await self._in_steps(yard, Clean(states=FINISHED, older_than_ms=5), total=10)

    @clause("SWEEP-1")
    async def test_an_obliteration_goes_in_bounded_steps(self, yard: Yard) -> None:
        await yard.backend.add([tuple(spec(f"j{n}", delay_ms=n % 2) for n in range(10))])
        await yard.claim()
        await self._in_steps(yard, Obliterate(queue=QUEUE, force=True), total=10)

    @clause("SWEEP-1")
    @pytest.mark.case("R12")
    async def test_retention_goes_in_bounded_steps(self, yard: Yard) -> None:
        for n in range(10):
            await yard.finish(spec(queue=f"q{n % 2}"), Done() if n % 3 else ENDS[JobState.FAILED])
        yard.pass_ms(10)
        await self._in_steps(yard, Retention(completed_ms=5, others_ms=5, count=100), total=10)

    async def _in_steps(
        self, yard: Yard, sweep: Drain | Clean | Obliterate | Retention, *, total: int
    ) -> None:
        removed = 0
        for _ in range(2 * total):
            step = await yard.backend.sweep(sweep, limit=3)
            assert step.removed <= 3
            removed += step.removed
            if not step.more:
                break
        assert removed == total
        assert await yard.listed(JobQuery()) == []

    @clause("SWEEP-2")
    @pytest.mark.parametrize("delayed", [False, True])
    async def test_a_drain_takes_what_is_waiting(self, yard: Yard, *, delayed: bool) -> None:
        await bring_each(yard, QUEUE)
        await yard.add(spec("high", priority=100), spec("low", priority=-100, channel="c"))
        await yard.add(spec("other", queue="other"), spec("due", delay_ms=1))
        yard.pass_ms(5)
        removed = await yard.sweep_all(Drain(queue=QUEUE, delayed=delayed))
        assert removed == (5 if delayed else 3)
        counts = (await yard.info()).counts
        assert (counts.waiting, counts.delayed) == (0, 0 if delayed else 2)
        assert counts.total - counts.delayed == len(REACHABLE) - 2
        assert (await yard.info("other")).counts.waiting == 1

    @clause("SWEEP-2")
    async def test_a_drained_queue_goes_on(self, yard: Yard) -> None:
        await yard.add(spec("a"))
        await yard.sweep_all(Drain(queue=QUEUE))
        await yard.add(spec("a"))
        assert await yard.claimed_ids() == ["a"]
        assert await yard.sweep_all(Drain(queue="unknown")) == 0

    @clause("SWEEP-3")
    @pytest.mark.parametrize("state", sorted(FINISHED))
    async def test_a_clean_takes_its_states_alone(self, yard: Yard, state: JobState) -> None:
        jobs = await bring_each(yard, QUEUE)
        yard.pass_ms(10)
        sweep = Clean(states=frozenset({state}), older_than_ms=5, queue=QUEUE)
        assert await yard.sweep_all(sweep) == 1
        left = {each for each, job in jobs.items() if await yard.find(job) is not None}
        assert left == set(REACHABLE) - {state}

    @clause("SWEEP-3")
    async def test_a_clean_takes_what_is_old_enough(self, yard: Yard) -> None:
        for n in range(4):
            await yard.finish(spec(f"j{n}"), Done())
            yard.pass_ms(100)
        sweep = Clean(states=FINISHED, older_than_ms=250)
        assert await yard.sweep_all(sweep) == 2
        assert [n for n in range(4) if await yard.find(f"j{n}") is not None] == [2, 3]

    @clause("SWEEP-3")
    async def test_a_clean_counts_from_the_end_not_the_beginning(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        yard.pass_ms(HOUR)
        await yard.settle(lease, Done())
        yard.pass_ms(10)
        assert await yard.sweep_all(Clean(states=FINISHED, older_than_ms=20)) == 0

    @clause("SWEEP-3")
    async def test_a_clean_is_of_a_queue_or_of_all(self, yard: Yard) -> None:
        for queue in ("a", "b", "c"):
            await yard.finish(spec(queue, queue=queue), Done())
        yard.pass_ms(10)
        assert await yard.sweep_all(Clean(states=FINISHED, older_than_ms=5, queue="b")) == 1
        assert await yard.find("b") is None
        assert await yard.sweep_all(Clean(states=FINISHED, older_than_ms=5)) == 2

    @clause("SWEEP-4")
    async def test_a_busy_queue_is_not_obliterated(self, yard: Yard) -> None:
        jobs = await bring_each(yard, QUEUE)
        before = await yard.backend.get(list(jobs.values()))
        info = await yard.info()
        with pytest.raises(QueueNotEmpty):
            await yard.backend.sweep(Obliterate(queue=QUEUE), limit=2)
        assert list(await yard.backend.get(list(jobs.values()))) == list(before)
        assert await yard.info() == info

    @clause("SWEEP-4")
    async def test_an_idle_queue_is_obliterated(self, yard: Yard) -> None:
        jobs = await bring_each(yard, QUEUE, JobState.WAITING, JobState.DELAYED, *ENDS)
        await yard.add(spec("other", queue="other"))
        assert await yard.sweep_all(Obliterate(queue=QUEUE)) == len(jobs)
        assert [info.name for info in await yard.backend.queues()] == ["other"]
        assert set(await yard.backend.get(list(jobs.values()))) == {None}
        metrics = await yard.backend.metrics(QUEUE, since=START - HOUR, until=START + HOUR)
        assert metrics.total == Bucket(queue=QUEUE)
        assert metrics.minutes == ()
        (added,) = await yard.add(spec(jobs[JobState.COMPLETED]))
        assert added.outcome == "created"

    @clause("SWEEP-4")
    async def test_force_obliterates_a_busy_queue(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        await yard.add(spec("b"), spec("c", delay_ms=5))
        assert await yard.sweep_all(Obliterate(queue=QUEUE, force=True)) == 3
        assert list(await yard.backend.queues()) == []
        assert list(await yard.backend.extend([lease], ttl_ms=1_000)) == [Hold.LOST]
        assert await yard.settle(lease, Done()) in {Settled.LOST, Settled.GONE}
        assert await yard.find("a") is None
        yard.pass_ms(HOUR)
        assert list(await yard.backend.reap(limit=10)) == []

    @clause("SWEEP-5")
    async def test_retention_takes_what_is_too_old(self, yard: Yard) -> None:
        jobs = await bring_each(yard, "old")
        yard.pass_ms(1_000)
        young = await bring_each(yard, "young")
        yard.pass_ms(500)
        sweep = Retention(completed_ms=1_200, others_ms=1_400, count=100)
        assert await yard.sweep_all(sweep) == 4
        gone = {state for state, job in jobs.items() if await yard.find(job) is None}
        assert gone == set(FINISHED) - {JobState.STALLED}
        assert None not in await yard.backend.get(list(young.values()))

    @clause("SWEEP-5")
    async def test_retention_has_a_bound_for_each_kind(self, yard: Yard) -> None:
        jobs = await bring_each(yard, QUEUE)
        yard.pass_ms(1_000)
        assert await yard.sweep_all(Retention(completed_ms=500, others_ms=FOREVER, count=100)) == 1
        assert await yard.find(jobs[JobState.COMPLETED]) is None
        assert await yard.sweep_all(Retention(completed_ms=FOREVER, others_ms=500, count=100)) == 3

    @clause("SWEEP-5")
    async def test_retention_keeps_the_newest_of_each_queue(self, yard: Yard) -> None:
        for n in range(6):
            end = Done() if n % 2 else Failed(Reason.ADMIN)
            await yard.finish(spec(f"a{n}", queue="a"), end)
            if n < 3:
                await yard.finish(spec(f"b{n}", queue="b"), end)
            yard.pass_ms(10)
        sweep = Retention(completed_ms=FOREVER, others_ms=FOREVER, count=3)
        assert await yard.sweep_all(sweep) == 3
        assert [n for n in range(6) if await yard.find(f"a{n}") is not None] == [3, 4, 5]
        assert (await yard.info("b")).counts.total == 3

    @clause("SWEEP-5")
    async def test_a_keep_rule_goes_before_the_ages(self, yard: Yard) -> None:
        short, long, none = Retain(age_ms=100), Retain(age_ms=FOREVER), Retain(count=50)
        for name, rule in (("short", short), ("long", long), ("none", none), ("plain", None)):
            await yard.finish(spec(f"c-{name}", keep_completed=rule), Done())
            await yard.finish(spec(f"f-{name}", keep_failed=rule), Failed(Reason.ADMIN))
        yard.pass_ms(500)
        sweep = Retention(completed_ms=300, others_ms=300, count=100)
        assert await yard.sweep_all(sweep) == 4
        left = await yard.listed(JobQuery())
        assert [each.id for each in left] == ["c-long", "f-long", "c-none", "f-none"]

    @clause("SWEEP-5")
    async def test_a_shorter_keep_rule_is_followed(self, yard: Yard) -> None:
        rule = Retain(age_ms=100)
        await yard.finish(spec("rule", keep_completed=rule), Done())
        await yard.finish(spec("other-end", keep_failed=rule), Done())
        yard.pass_ms(200)
        sweep = Retention(completed_ms=FOREVER, others_ms=FOREVER, count=100)
        assert await yard.sweep_all(sweep) == 1
        assert await yard.find("rule") is None
