"""Settling: how runs end, and which lease may end them."""

from __future__ import annotations

import msgspec
import pytest

from jobyard.edits import Remove, Revive, RunNow
from jobyard.job import JobState, Reason, Retain
from jobyard.lease import (
    MAX_BATCH,
    Cancelled,
    Done,
    Failed,
    Hold,
    Lease,
    Outcome,
    Released,
    Retried,
    Settled,
    Snoozed,
    Stalled,
)
from jobyard_conformance.builders import settlement, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard, ids

OUTCOMES: dict[str, Outcome] = {
    "done": Done(b"result"),
    "retried": Retried(5_000, b"error"),
    "retried-now": Retried(0, b"error"),
    "failed": Failed(Reason.EXHAUSTED, b"error"),
    "snoozed": Snoozed(5_000),
    "released": Released(),
    "cancelled": Cancelled(),
    "stalled": Stalled(b"error"),
}
each_outcome = pytest.mark.parametrize("name", OUTCOMES)


class Settling(Chapter):
    """Who may settle, and what repeating it does."""

    chapter = "settling"

    @clause("SETTLE-1")
    @each_outcome
    async def test_a_lease_taken_back_and_given_on_is_lost(self, yard: Yard, name: str) -> None:
        late = await yard.running(spec("a", max_crashes=9))
        yard.pass_ms(late.until - yard.now + 1)
        await yard.backend.reap(limit=10)
        other = await yard.another()
        (holder,) = (await other.claim(want(worker="w2"))).leases
        before = await yard.job("a")
        assert await yard.settle(late, OUTCOMES[name]) is Settled.LOST
        assert await yard.job("a") == before
        assert await yard.settle(holder, Done()) is Settled.OK

    @clause("SETTLE-1")
    @each_outcome
    @pytest.mark.case("Z01")
    async def test_a_reaped_lease_is_lost(self, yard: Yard, name: str) -> None:
        late = await yard.running(spec("a", max_crashes=9))
        yard.pass_ms(late.until - yard.now + 1)
        await yard.backend.reap(limit=10)
        before = await yard.job("a")
        assert await yard.settle(late, OUTCOMES[name]) is Settled.LOST
        assert await yard.job("a") == before

    @clause("SETTLE-1")
    @each_outcome
    @pytest.mark.case("B21")
    async def test_a_forged_lease_is_lost(self, yard: Yard, name: str) -> None:
        lease = await yard.running(spec("a"))
        forged = msgspec.structs.replace(lease, lease_id="forged", fence=lease.fence + 1)
        before = await yard.job("a")
        assert await yard.settle(forged, OUTCOMES[name]) is Settled.LOST
        assert await yard.job("a") == before

    @clause("SETTLE-1")
    async def test_a_lease_of_another_job_is_lost(self, yard: Yard) -> None:
        mine = await yard.running(spec("a"))
        yours = await yard.running(spec("b"))
        crossed = msgspec.structs.replace(mine, job_id="b", no=yours.no)
        assert await yard.settle(crossed, Done()) is Settled.LOST
        assert (await yard.job("b")).state is JobState.ACTIVE

    @clause("SETTLE-1")
    async def test_a_job_never_claimed_is_settled_by_nobody(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        await yard.add(spec("b"))
        record = await yard.job("b")
        forged = msgspec.structs.replace(lease, job_id="b", no=record.no)
        assert await yard.settle(forged, Done()) is Settled.LOST
        assert await yard.job("b") == record

    @clause("SETTLE-1", "SETTLE-3")
    async def test_an_earlier_lease_is_lost_once_the_job_is_claimed_again(self, yard: Yard) -> None:
        first = await yard.running(spec("a"))
        await yard.settle(first, Released())
        assert await yard.settle(first, Done()) is Settled.ALREADY
        second = await yard.claim_one()
        assert await yard.settle(first, Done()) is Settled.LOST
        assert await yard.settle(second, Done()) is Settled.OK
        assert await yard.settle(first, Done()) is Settled.LOST

    @clause("SETTLE-2")
    @each_outcome
    @pytest.mark.case("Z02")
    async def test_an_expired_lease_that_nobody_reaped_settles(self, yard: Yard, name: str) -> None:
        lease = await yard.running(spec("a"))
        yard.pass_ms(lease.until - yard.now + 3_600_000)
        assert await yard.settle(lease, OUTCOMES[name]) is Settled.OK
        assert (await yard.job("a")).state is not JobState.ACTIVE

    @clause("SETTLE-3")
    @each_outcome
    @pytest.mark.case("B20")
    async def test_a_repeated_settlement_changes_nothing(self, yard: Yard, name: str) -> None:
        lease = await yard.running(spec("a"))
        assert await yard.settle(lease, OUTCOMES[name]) is Settled.OK
        before = await yard.job("a")
        yard.pass_ms(10)
        for outcome in OUTCOMES.values():
            assert await yard.settle(lease, outcome) is Settled.ALREADY
        assert await yard.job("a") == before

    @clause("SETTLE-3")
    async def test_a_settlement_given_twice_in_a_call_counts_once(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", attempts=9))
        twice = [settlement(lease, Retried(0)), settlement(lease, Retried(0))]
        answer = await yard.backend.settle(twice)
        assert answer.results == (Settled.OK, Settled.ALREADY)
        assert (await yard.job("a")).failures == 1

    @clause("SETTLE-3")
    @pytest.mark.case("Z08")
    async def test_edits_do_not_make_a_settlement_forgotten(self, yard: Yard) -> None:
        retried = await yard.finish(spec("a", attempts=9), Retried(5_000))
        await yard.change("a", RunNow())
        failed = await yard.finish(spec("b", queue="q"), Failed(Reason.EXHAUSTED))
        await yard.change("b", Revive())
        assert await yard.settle(retried, Done()) is Settled.ALREADY
        assert await yard.settle(failed, Done()) is Settled.ALREADY
        assert await yard.claimed_ids(want("emails", "q")) == ["a", "b"]
        assert await yard.settle(retried, Done()) is Settled.LOST
        assert await yard.settle(failed, Done()) is Settled.LOST

    @clause("SETTLE-4")
    async def test_a_job_that_left_no_record_is_gone(self, yard: Yard) -> None:
        lease = await yard.finish(spec("a", keep_completed=Retain(count=0)), Done())
        assert await yard.settle(lease, Done()) is Settled.GONE

    @clause("SETTLE-4")
    @pytest.mark.case("Z07")
    async def test_a_removed_job_is_gone(self, yard: Yard) -> None:
        lease = await yard.finish(spec("a"), Done())
        await yard.change("a", Remove())
        assert await yard.settle(lease, Done()) is Settled.GONE
        assert await yard.find("a") is None

    @clause("SETTLE-4")
    @pytest.mark.case("Z07")
    async def test_a_job_added_again_is_not_the_one_settled(self, yard: Yard) -> None:
        lease = await yard.finish(spec("a", keep_completed=Retain(count=0)), Done())
        await yard.add(spec("a"))
        assert await yard.settle(lease, Done()) is Settled.LOST
        assert (await yard.job("a")).state is JobState.WAITING

    @clause("SETTLE-4")
    async def test_an_id_added_again_belongs_to_nobody_before(self, yard: Yard) -> None:
        late = await yard.finish(spec("a"), Done())
        await yard.change("a", Remove())
        await yard.add(spec("a"))
        await self._is_lost(yard, late)
        holder = await yard.claim_one()
        await self._is_lost(yard, late)
        assert await yard.settle(holder, Done()) is Settled.OK
        await self._is_lost(yard, late)

    async def _is_lost(self, yard: Yard, late: Lease) -> None:
        before = await yard.job("a")
        for outcome in OUTCOMES.values():
            assert await yard.settle(late, outcome) is Settled.LOST
        assert list(await yard.backend.extend([late], ttl_ms=5_000)) == [Hold.LOST]
        assert await yard.job("a") == before

    @clause("SETTLE-12")
    async def test_what_a_settle_frees_its_claim_may_take(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c", attempts=9)])
        one, two, three = await yard.claim()
        ends = [
            settlement(one, Released()),
            settlement(two, Retried(0)),
            settlement(three, Snoozed(1)),
        ]
        answer = await yard.backend.settle(ends, claim=want(worker="w2"))
        assert answer.results == (Settled.OK,) * 3
        assert answer.claimed is not None
        assert ids(answer.claimed.leases) == ["a", "b"]
        assert answer.claimed.next_due == yard.now + 1
        assert (await yard.job("a")).worker == "w2"

    @clause("SETTLE-12")
    async def test_a_settle_claims_only_when_asked_to(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b")])
        (lease,) = await yard.claim(want(limit=1))
        answer = await yard.backend.settle([settlement(lease, Done())])
        assert answer.claimed is None
        assert (await yard.job("b")).state is JobState.WAITING

    @clause("SETTLE-12")
    async def test_a_settle_of_nothing_claims(self, yard: Yard) -> None:
        await yard.add(spec("a"))
        answer = await yard.backend.settle([], claim=want())
        assert answer.results == ()
        assert answer.claimed is not None
        assert ids(answer.claimed.leases) == ["a"]

    @clause("SETTLE-13")
    async def test_settlements_of_a_call_stand_alone(self, yard: Yard) -> None:
        await yard.backend.add([specs("ok", "already", "lost", "also-ok")])
        await yard.add(spec("gone", queue="other", keep_completed=Retain(count=0)))
        ok, already, lost, also_ok, gone = await yard.claim(want("emails", "other"))
        await yard.settle(already, Done())
        await yard.settle(gone, Done())
        forged = msgspec.structs.replace(lost, lease_id="forged")
        answer = await yard.backend.settle(
            [
                settlement(forged, Done()),
                settlement(ok, Done(b"1")),
                settlement(gone, Done()),
                settlement(already, Done()),
                settlement(also_ok, Failed(Reason.REFUSED)),
            ]
        )
        expected = (Settled.LOST, Settled.OK, Settled.GONE, Settled.ALREADY, Settled.OK)
        assert answer.results == expected
        states = [(await yard.job(each)).state for each in ("ok", "lost", "also-ok")]
        assert states == [JobState.COMPLETED, JobState.ACTIVE, JobState.FAILED]

    @clause("SETTLE-13")
    async def test_a_whole_batch_of_mixed_outcomes_is_settled(self, yard: Yard) -> None:
        await yard.backend.add([tuple(spec(f"j{n}", attempts=9) for n in range(MAX_BATCH))])
        leases = await yard.claim(want(limit=MAX_BATCH))
        outcomes = list(OUTCOMES.values())
        ends = [settlement(each, outcomes[n % 8]) for n, each in enumerate(leases)]
        answer = await yard.backend.settle(ends, claim=want(limit=0))
        assert answer.results == (Settled.OK,) * MAX_BATCH
        counts = (await yard.info()).counts
        assert counts.total == MAX_BATCH
        assert (counts.active, counts.waiting, counts.delayed) == (0, 250, 250)
        finished = (counts.completed, counts.failed, counts.cancelled, counts.stalled)
        assert finished == (125, 125, 125, 125)
