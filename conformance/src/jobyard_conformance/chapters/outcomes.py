"""Outcomes: what each way to end a run leaves behind."""

from __future__ import annotations

import pytest

from jobyard.edits import Cancel
from jobyard.job import JobState, Reason, Retain
from jobyard.lease import Cancelled, Done, Failed, Outcome, Released, Retried, Snoozed, Stalled
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


class Outcomes(Chapter):
    """The record after each outcome, and the keep rules."""

    chapter = "outcomes"

    @clause("SETTLE-5")
    @pytest.mark.parametrize("result", [b"result", b"", None])
    async def test_done_completes_with_its_result(self, yard: Yard, result: bytes | None) -> None:
        lease = await yard.running(spec("a"))
        yard.pass_ms(20)
        await yard.settle(lease, Done(result))
        record = await yard.job("a")
        assert (record.state, record.result) == (JobState.COMPLETED, result)
        assert (record.finished_at, record.lease_until) == (yard.now, None)
        assert (record.failures, record.crashes, record.reason) == (0, 0, None)
        assert await yard.claimed_ids() == []

    @clause("SETTLE-6")
    async def test_retried_waits_for_its_delay(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", attempts=3))
        yard.pass_ms(20)
        await yard.settle(lease, Retried(1_500, b"boom"))
        record = await yard.job("a")
        assert (record.state, record.due_at) == (JobState.DELAYED, yard.now + 1_500)
        assert (record.failures, record.crashes, record.error) == (1, 0, b"boom")
        assert (record.lease_until, record.finished_at) == (None, None)
        yard.pass_ms(1_499)
        assert await yard.claimed_ids() == []
        yard.pass_ms(1)
        again = await yard.claim_one()
        assert (again.failures, again.due_at) == (1, yard.now)
        assert (await yard.job("a")).error == b"boom"

    @clause("SETTLE-6")
    async def test_retried_without_delay_is_waiting_due_now(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", attempts=3))
        yard.pass_ms(20)
        await yard.add(spec("b"))
        yard.pass_ms(20)
        await yard.settle(lease, Retried(0, b"boom"))
        record = await yard.job("a")
        assert (record.state, record.due_at, record.failures) == (JobState.WAITING, yard.now, 1)
        assert await yard.claimed_ids() == ["b", "a"]

    @clause("SETTLE-6")
    async def test_the_latest_error_is_kept(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", attempts=9))
        for error in (b"one", b"two", b""):
            await yard.settle(lease, Retried(0, error))
            assert (await yard.job("a")).error == error
            lease = await yard.claim_one()
        assert lease.failures == 3

    @clause("SETTLE-7")
    @pytest.mark.parametrize("dead_letter", [False, True])
    @pytest.mark.parametrize("reason", [*Reason])
    async def test_failed_ends_with_its_reason(
        self, yard: Yard, reason: Reason, *, dead_letter: bool
    ) -> None:
        lease = await yard.running(spec("a", attempts=3, dead_letter=dead_letter))
        yard.pass_ms(20)
        await yard.settle(lease, Failed(reason, b"boom"))
        record = await yard.job("a")
        assert record.state is (JobState.DEAD if dead_letter else JobState.FAILED)
        assert (record.reason, record.error, record.finished_at) == (reason, b"boom", yard.now)
        assert record.failures == (1 if reason in {Reason.EXHAUSTED, Reason.REFUSED} else 0)
        assert record.crashes == 0
        assert await yard.claimed_ids() == []

    @clause("SETTLE-8")
    async def test_snoozed_waits_and_counts_nothing(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", attempts=9))
        await yard.settle(lease, Retried(0, b"boom"))
        lease = await yard.claim_one()
        yard.pass_ms(20)
        await yard.settle(lease, Snoozed(2_000))
        record = await yard.job("a")
        assert (record.state, record.due_at) == (JobState.DELAYED, yard.now + 2_000)
        assert (record.failures, record.crashes, record.error) == (1, 0, b"boom")
        yard.pass_ms(2_000)
        lease = await yard.claim_one()
        yard.pass_ms(5)
        await yard.settle(lease, Snoozed(0))
        record = await yard.job("a")
        assert (record.state, record.due_at, record.failures) == (JobState.WAITING, yard.now, 1)

    @clause("SETTLE-9")
    async def test_released_waits_as_before(self, yard: Yard) -> None:
        await yard.add(spec("a", delay_ms=10, priority=3))
        due = yard.now + 10
        yard.pass_ms(500)
        lease = await yard.claim_one()
        no = (await yard.job("a")).no
        yard.pass_ms(500)
        await yard.settle(lease, Released())
        record = await yard.job("a")
        assert (record.state, record.due_at, record.no) == (JobState.WAITING, due, no)
        assert (record.failures, record.crashes, record.priority) == (0, 0, 3)
        assert record.lease_until is None

    @clause("SETTLE-9")
    async def test_released_keeps_the_counts_there_were(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", attempts=9, max_crashes=9))
        await yard.settle(lease, Retried(0))
        lease = await yard.claim_one()
        yard.pass_ms(lease.until - yard.now + 1)
        await yard.backend.reap(limit=1)
        lease = await yard.claim_one()
        await yard.settle(lease, Released())
        record = await yard.job("a")
        assert (record.failures, record.crashes) == (1, 1)

    @clause("SETTLE-10")
    async def test_cancelled_is_cancelled(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", dead_letter=True))
        yard.pass_ms(20)
        await yard.settle(lease, Cancelled())
        record = await yard.job("a")
        assert (record.state, record.finished_at) == (JobState.CANCELLED, yard.now)
        assert (record.failures, record.crashes) == (0, 0)

    @clause("SETTLE-10")
    async def test_stalled_counts_a_failure(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        yard.pass_ms(20)
        await yard.settle(lease, Stalled(b"too long"))
        record = await yard.job("a")
        assert (record.state, record.error) == (JobState.STALLED, b"too long")
        assert (record.failures, record.finished_at) == (1, yard.now)
        assert await yard.claimed_ids() == []

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
