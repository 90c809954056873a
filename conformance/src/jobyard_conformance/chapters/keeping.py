"""Keep rules: which records a finishing job leaves behind, and which it takes along."""

from __future__ import annotations

import pytest

from jobyard.edits import Cancel, Retention
from jobyard.job import JobState, Reason, Retain
from jobyard.lease import (
    MAX_BATCH,
    Cancelled,
    Done,
    Failed,
    Outcome,
    Released,
    Retried,
    Snoozed,
    Stalled,
)
from jobyard.query import JobQuery
from jobyard_conformance.builders import QUEUE, settlement, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard

FAILURES: dict[str, Outcome] = {
    "failed": Failed(Reason.EXHAUSTED),
    "dead": Failed(Reason.EXHAUSTED),
    "cancelled": Cancelled(),
}
FOREVER = 10**12


class Keeping(Chapter):
    """What `keep_completed` and `keep_failed` do when a job finishes."""

    chapter = "keeping"

    @clause("SETTLE-11")
    async def test_completed_and_not_kept_leaves_no_record(self, yard: Yard) -> None:
        await yard.finish(spec("a", keep_completed=Retain(count=0)), Done())
        assert await yard.find("a") is None
        assert (await yard.info()).counts.total == 0
        assert await yard.listed(JobQuery()) == []

    @clause("SETTLE-11")
    async def test_a_job_not_kept_takes_no_other_along(self, yard: Yard) -> None:
        await yard.finish(spec("kept"), Done())
        await yard.finish(spec("not-kept", keep_completed=Retain(count=0)), Done())
        assert (await yard.job("kept")).state is JobState.COMPLETED

    @clause("SETTLE-11")
    @pytest.mark.parametrize("name", FAILURES)
    async def test_failed_and_not_kept_leaves_no_record(self, yard: Yard, name: str) -> None:
        job = spec("a", keep_failed=Retain(count=0), dead_letter=name == "dead")
        await yard.finish(job, FAILURES[name])
        assert await yard.find("a") is None
        assert (await yard.info()).counts.total == 0

    @clause("SETTLE-11")
    async def test_a_keep_rule_is_for_its_own_end(self, yard: Yard) -> None:
        none = Retain(count=0)
        await yard.finish(spec("failed", keep_completed=none), Failed(Reason.EXHAUSTED))
        await yard.finish(spec("completed", keep_failed=none), Done())
        await yard.finish(spec("stalled", keep_failed=none, keep_completed=none), Stalled())
        states = [(await yard.job(each)).state for each in ("failed", "completed", "stalled")]
        assert states == [JobState.FAILED, JobState.COMPLETED, JobState.STALLED]

    @clause("SETTLE-11")
    async def test_a_keep_rule_waits_for_the_end(self, yard: Yard) -> None:
        none = Retain(count=0)
        lease = await yard.running(spec("a", attempts=9, keep_failed=none, keep_completed=none))
        for outcome in (Retried(0), Snoozed(0), Released()):
            await yard.settle(lease, outcome)
            lease = await yard.claim_one()
        await yard.settle(lease, Done())
        assert await yard.find("a") is None

    @clause("SETTLE-11")
    async def test_a_count_keeps_the_newest_of_the_queue_and_state(self, yard: Yard) -> None:
        rule = Retain(count=2)
        for n in range(4):
            await yard.finish(spec(f"c{n}", keep_completed=rule), Done())
            await yard.finish(spec(f"f{n}", keep_failed=rule), Failed(Reason.EXHAUSTED))
            await yard.finish(spec(f"o{n}", queue="other"), Done())
            yard.pass_ms(10)
        counts = (await yard.info()).counts
        assert (counts.completed, counts.failed) == (2, 2)
        left = [n for n in range(4) if await yard.find(f"c{n}") is not None]
        assert left == [2, 3]
        assert (await yard.info("other")).counts.completed == 4

    @clause("SETTLE-11")
    async def test_a_count_keeps_the_newest_finished_not_the_newest_added(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c", keep_completed=Retain(count=1))])
        one, two, three = await yard.claim()
        for lease in (three, one, two):
            await yard.settle(lease, Done())
            yard.pass_ms(10)
        left = await yard.listed(JobQuery(queue=QUEUE))
        assert [each.id for each in left] == ["b"]

    @clause("SETTLE-11")
    async def test_a_count_holds_within_one_batch(self, yard: Yard) -> None:
        unit = tuple(spec(f"j{n}", keep_completed=Retain(count=3)) for n in range(10))
        await yard.backend.add([unit])
        leases = await yard.claim()
        await yard.backend.settle([settlement(lease, Done()) for lease in leases])
        assert (await yard.info()).counts.completed == 3

    @clause("SETTLE-11", "REAP-2")
    async def test_a_crash_loop_that_is_not_kept_leaves_no_record(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", max_crashes=1, keep_failed=Retain(count=0)))
        yard.pass_ms(lease.until - yard.now + 1)
        (reaped,) = await yard.backend.reap(limit=10)
        assert (reaped.state, reaped.reason) == (JobState.FAILED, Reason.CRASH_LOOP)
        assert await yard.find("a") is None

    @clause("SETTLE-11", "CHANGE-8")
    async def test_a_cancelled_job_that_is_not_kept_leaves_no_record(self, yard: Yard) -> None:
        await yard.add(spec("a", keep_failed=Retain(count=0)))
        changed = await yard.change("a", Cancel())
        assert changed.outcome == "ok"
        assert await yard.find("a") is None
        assert await yard.claimed_ids(want()) == []

    @clause("SETTLE-11")
    async def test_of_those_that_finished_at_once_the_greater_number_is_newer(
        self, yard: Yard
    ) -> None:
        rule = Retain(count=2)
        await yard.backend.add([specs("a", "b", "c", "d", "e", keep_completed=rule)])
        leases = {lease.job_id: lease for lease in await yard.claim()}
        for job_id in ("e", "a", "d"):
            await yard.settle(leases[job_id], Done())
        assert await _left(yard) == ["b", "c", "d", "e"]
        await yard.settle(leases["b"], Done())
        assert await _left(yard) == ["c", "d", "e"], "b is the oldest: it takes itself along"
        yard.pass_ms(1)
        await yard.settle(leases["c"], Done())
        assert await _left(yard) == ["c", "e"]

    @clause("SETTLE-11", "SWEEP-5")
    async def test_a_settle_takes_a_batch_along_at_most(self, yard: Yard) -> None:
        many = MAX_BATCH + 50
        await yard.backend.add([tuple(spec(f"j{n:04}") for n in range(many))])
        while leases := await yard.claim(want(limit=MAX_BATCH)):
            await yard.backend.settle([settlement(lease, Done()) for lease in leases])
        yard.pass_ms(1)
        await yard.finish(spec("rule", keep_completed=Retain(count=10)), Done())
        left = (await yard.info()).counts.completed
        assert left == many + 1 - MAX_BATCH, "the oldest go, no more than a batch"
        found = await _left(yard)
        assert found == [*(f"j{n:04}" for n in range(MAX_BATCH, many)), "rule"]
        yard.pass_ms(1)
        await yard.finish(spec("again", keep_completed=Retain(count=10)), Done())
        assert (await yard.info()).counts.completed == 10

    @clause("SETTLE-11")
    async def test_a_count_is_of_the_state_that_the_job_ends_in(self, yard: Yard) -> None:
        rule = Retain(count=1)
        for n in range(2):
            await yard.finish(spec(f"f{n}", keep_failed=rule), Failed(Reason.REFUSED))
            yard.pass_ms(1)
            job = spec(f"d{n}", keep_failed=rule, dead_letter=True)
            await yard.finish(job, Failed(Reason.REFUSED))
            yard.pass_ms(1)
            await yard.finish(spec(f"c{n}", keep_failed=rule), Cancelled())
            yard.pass_ms(1)
        assert await _left(yard) == ["f1", "d1", "c1"]

    @clause("SWEEP-5")
    async def test_retention_breaks_ties_by_number(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c", "d")])
        leases = {lease.job_id: lease for lease in await yard.claim()}
        for job_id in ("d", "b", "a", "c"):
            await yard.settle(leases[job_id], Done())
        sweep = Retention(completed_ms=FOREVER, others_ms=FOREVER, count=2)
        assert await yard.sweep_all(sweep) == 2
        assert await _left(yard) == ["c", "d"]


async def _left(yard: Yard) -> list[str]:
    return [each.id for each in await yard.listed(JobQuery())]
