"""Extending leases."""

from __future__ import annotations

import msgspec
import pytest

from jobyard.edits import Cancel, ChangeOutcome, Remove
from jobyard.job import JobState
from jobyard.lease import Done, Hold, Released, Settled
from jobyard_conformance.builders import TTL, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard


class Extending(Chapter):
    """What `extend` lengthens and answers."""

    chapter = "extending"

    @clause("EXTEND-1")
    async def test_a_held_lease_is_lengthened(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        yard.pass_ms(10_000)
        assert list(await yard.backend.extend([lease], ttl_ms=60_000)) == [Hold.HELD]
        until = (await yard.job("a")).lease_until
        assert until is not None
        assert until >= yard.now + 60_000
        yard.pass_ms(59_999)
        assert list(await yard.backend.reap(limit=10)) == []
        assert await yard.settle(lease, Done()) is Settled.OK

    @clause("EXTEND-1")
    async def test_an_extended_lease_ends_too(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        yard.pass_ms(lease.until - yard.now)
        await yard.backend.extend([lease], ttl_ms=5_000)
        yard.pass_ms(5_001)
        assert [each.job_id for each in await yard.backend.reap(limit=10)] == ["a"]

    @clause("EXTEND-1")
    async def test_an_expired_lease_that_nobody_reaped_is_held(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        yard.pass_ms(lease.until - yard.now + 60_000)
        assert list(await yard.backend.extend([lease], ttl_ms=5_000)) == [Hold.HELD]
        assert list(await yard.backend.reap(limit=10)) == []
        assert (await yard.job("a")).state is JobState.ACTIVE

    @clause("EXTEND-1")
    @pytest.mark.parametrize("ttl_ms", [1, TTL - 1, TTL])
    async def test_an_extend_never_shortens(self, yard: Yard, ttl_ms: int) -> None:
        lease = await yard.running(spec("a"))
        assert list(await yard.backend.extend([lease], ttl_ms=ttl_ms)) == [Hold.HELD]
        assert (await yard.job("a")).lease_until == lease.until
        yard.pass_ms(TTL - 1)
        assert list(await yard.backend.reap(limit=10)) == []
        await yard.backend.extend([lease], ttl_ms=ttl_ms)
        assert (await yard.job("a")).lease_until == max(lease.until, yard.now + ttl_ms)

    @clause("EXTEND-1")
    async def test_an_extend_lasts_from_now(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        await yard.backend.extend([lease], ttl_ms=10 * TTL)
        until = yard.now + 10 * TTL
        for _ in range(3):
            yard.pass_ms(TTL)
            await yard.backend.extend([lease], ttl_ms=2 * TTL)
            assert (await yard.job("a")).lease_until == until

    @clause("EXTEND-2")
    @pytest.mark.case("Z03")
    async def test_a_reaped_lease_is_lost_and_changes_nothing(self, yard: Yard) -> None:
        late = await yard.running(spec("a", max_crashes=9))
        yard.pass_ms(late.until - yard.now + 1)
        await yard.backend.reap(limit=10)
        waiting = await yard.job("a")
        assert list(await yard.backend.extend([late], ttl_ms=5_000)) == [Hold.LOST]
        assert await yard.job("a") == waiting
        await yard.claim_one(want(worker="w2"))
        held = await yard.job("a")
        assert list(await yard.backend.extend([late], ttl_ms=3_600_000)) == [Hold.LOST]
        assert await yard.job("a") == held

    @clause("EXTEND-2")
    async def test_a_settled_lease_is_lost(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c")])
        done, released, removed = await yard.claim()
        await yard.settle(done, Done())
        await yard.settle(released, Released())
        await yard.settle(removed, Done())
        await yard.change("c", Remove())
        answer = await yard.backend.extend([done, released, removed], ttl_ms=5_000)
        assert list(answer) == [Hold.LOST] * 3
        assert (await yard.job("b")).state is JobState.WAITING

    @clause("EXTEND-2")
    async def test_a_forged_lease_extends_nothing(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        before = await yard.job("a")
        forged = msgspec.structs.replace(lease, lease_id="forged")
        unknown = msgspec.structs.replace(lease, job_id="unknown", no=lease.no + 1)
        answer = await yard.backend.extend([forged, lease, unknown], ttl_ms=1_000)
        assert list(answer) == [Hold.LOST, Hold.HELD, Hold.LOST]
        assert list(await yard.backend.extend([forged], ttl_ms=3_600_000)) == [Hold.LOST]
        after = await yard.job("a")
        assert before.lease_until is not None
        assert after.lease_until is not None
        assert after.lease_until <= before.lease_until

    @clause("EXTEND-3", "CHANGE-8")
    async def test_a_holder_learns_that_it_should_stop(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b")])
        asked, other = await yard.claim()
        assert (await yard.change("a", Cancel(running=True))).outcome is ChangeOutcome.ASKED
        assert (await yard.job("a")).cancel_asked
        answer = await yard.backend.extend([other, asked], ttl_ms=90_000)
        assert list(answer) == [Hold.HELD, Hold.CANCELLED]
        yard.pass_ms(89_999)
        assert list(await yard.backend.reap(limit=10)) == []
        assert list(await yard.backend.extend([asked], ttl_ms=90_000)) == [Hold.CANCELLED]
        assert (await yard.job("a")).state is JobState.ACTIVE

    @clause("EXTEND-4")
    async def test_jobs_of_the_claim_that_are_not_listed_are_not_extended(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c")])
        leases = await yard.claim(want(lease_id="one-claim"))
        yard.pass_ms(10_000)
        assert list(await yard.backend.extend([leases[1]], ttl_ms=600_000)) == [Hold.HELD]
        yard.pass_ms(leases[0].until - yard.now + 1)
        reaped = await yard.backend.reap(limit=10)
        assert sorted(each.job_id for each in reaped) == ["a", "c"]
        assert (await yard.job("b")).state is JobState.ACTIVE
