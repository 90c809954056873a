"""Outcomes: what each way to end a run leaves behind."""

from __future__ import annotations

import pytest

from jobyard.job import JobState, Reason
from jobyard.lease import Cancelled, Done, Failed, Outcome, Released, Retried, Snoozed, Stalled
from jobyard_conformance.builders import spec
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
