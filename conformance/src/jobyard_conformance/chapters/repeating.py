"""Repeating a claim whose answer was lost, looking ahead, and claims that come back short."""

from __future__ import annotations

import pytest

from jobyard.edits import Remove
from jobyard.job import JobState
from jobyard.lease import Claimed, Done, Released
from jobyard_conformance.builders import TTL, settlement, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard, ids


class Repeating(Chapter):
    """What a claim gives that was made before, looks elsewhere in time, or falls short."""

    chapter = "repeating"

    @clause("CLAIM-8")
    async def test_a_repeated_claim_gives_the_same_and_no_other(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c", "d")])
        wanted = want(limit=3, lease_id="L")
        first = await yard.claim(wanted)
        assert ids(first) == ["a", "b", "c"]
        again = await yard.claim(wanted)
        assert [(each.job_id, each.fence) for each in again] == [
            (each.job_id, each.fence) for each in first
        ]
        assert (await yard.info()).counts.waiting == 1
        other = await yard.another()
        assert ids((await other.claim(wanted)).leases) == ["a", "b", "c"]

    @clause("CLAIM-8")
    async def test_a_repeated_claim_gives_what_is_still_held(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c", "d")])
        wanted = want(limit=3, lease_id="L")
        leases = await yard.claim(wanted)
        await yard.settle(leases[1], Done())
        await yard.settle(leases[2], Released())
        assert await yard.claimed_ids(wanted) == ["a"]
        assert (await yard.info()).counts.waiting == 2

    @clause("CLAIM-8")
    async def test_a_repeated_claim_gives_a_lease_that_works(self, yard: Yard) -> None:
        await yard.add(spec("a"))
        wanted = want(lease_id="L")
        await yard.claim(wanted)
        (lease,) = await yard.claim(wanted)
        assert await yard.settle(lease, Done(b"done")) == "ok"

    @clause("CLAIM-8")
    async def test_a_claim_that_gave_nothing_may_give_later(self, yard: Yard) -> None:
        wanted = want(lease_id="L")
        assert await yard.claim(wanted) == ()
        await yard.add(spec("a"))
        given = await yard.claimed_ids(wanted) or await yard.claimed_ids(want())
        assert given == ["a"]

    @clause("CLAIM-8", "SETTLE-3")
    async def test_a_settle_with_a_claim_can_be_repeated_whole(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c")])
        (lease,) = await yard.claim(want(limit=1))
        call = ([settlement(lease, Done())], want(limit=1, lease_id="L"))
        first = await yard.backend.settle(call[0], claim=call[1])
        again = await yard.backend.settle(call[0], claim=call[1])
        assert (first.results, again.results) == (("ok",), ("already",))
        assert first.claimed is not None
        assert again.claimed is not None
        assert ids(first.claimed.leases) == ids(again.claimed.leases) == ["b"]
        assert (await yard.info()).counts.waiting == 1

    @clause("CLAIM-8")
    async def test_a_repeated_claim_promotes_nothing(self, yard: Yard) -> None:
        await yard.add(spec("a"), spec("b", delay_ms=100))
        wanted = want(lease_id="L", as_of=yard.now + 50)
        assert await yard.claimed_ids(wanted) == ["a"]
        yard.pass_ms(100)
        assert await yard.claimed_ids(wanted) == ["a"]
        record = await yard.job("b")
        assert (record.state, record.due_at) == (JobState.DELAYED, yard.now)
        assert (await yard.info()).counts.waiting == 0
        assert [each.id for each in await yard.backend.peek(wanted)] == ["a"]

    @clause("CLAIM-8")
    async def test_a_repeated_claim_prolongs_no_lease(self, yard: Yard) -> None:
        await yard.add(spec("a"))
        first = await yard.claim_one(want(lease_id="L"))
        held = await yard.job("a")
        yard.pass_ms(1_000)
        again = await yard.claim_one(want(lease_id="L", ttl_ms=10 * TTL, worker="w2"))
        assert again == first
        assert await yard.job("a") == held
        yard.pass_ms(first.until - yard.now)
        assert [each.job_id for each in await yard.backend.reap(limit=10)] == ["a"]

    @clause("CLAIM-8")
    async def test_a_repeated_claim_shows_an_extended_lease_as_it_is(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        await yard.backend.extend([lease], ttl_ms=10 * TTL)
        again = await yard.claim_one(want(lease_id=lease.lease_id))
        assert again.until == yard.now + 10 * TTL

    @clause("CLAIM-8", "EXTEND-4")
    async def test_a_repeated_claim_shows_how_long_each_lease_lasts(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c")])
        wanted = want(lease_id="L")
        first = await yard.claim(wanted)
        await yard.backend.extend([first[1]], ttl_ms=10 * TTL)
        again = await yard.claim(wanted)
        assert [each.until - yard.now for each in again] == [TTL, 10 * TTL, TTL]

    @clause("CLAIM-8")
    @pytest.mark.parametrize("end", ["settled", "released", "reaped", "removed"])
    async def test_a_claim_of_which_nothing_is_held_gives_what_there_is(
        self, yard: Yard, end: str
    ) -> None:
        await yard.add(spec("a", max_crashes=9))
        wanted = want(lease_id="L")
        lease = await yard.claim_one(wanted)
        if end == "reaped":
            yard.pass_ms(TTL)
            await yard.backend.reap(limit=10)
        else:
            await yard.settle(lease, Released() if end == "released" else Done())
        if end == "removed":
            await yard.change("a", Remove())
        await yard.add(spec("b"))
        # Whether the spent id gives jobs is the backend's own matter; a new one has to.
        given = await yard.claimed_ids(wanted) + await yard.claimed_ids(want())
        assert given == (["a", "b"] if end in {"released", "reaped"} else ["b"])

    # -- looking elsewhere in time ------------------------------------------------------------

    @clause("CLAIM-9")
    @pytest.mark.parametrize("ago_ms", [1, 40, 10_000])
    async def test_a_look_back_is_as_none(self, yard: Yard, ago_ms: int) -> None:
        await yard.add(spec("due", delay_ms=50), spec("later", delay_ms=51))
        yard.pass_ms(50)
        await yard.add(spec("waiting"))
        back = want(as_of=yard.now - ago_ms)
        assert [each.id for each in await yard.backend.peek(back)] == ["due", "waiting"]
        claimed = await yard.backend.claim(back)
        assert ids(claimed.leases) == ["due", "waiting"]
        assert (claimed.now, claimed.next_due) == (yard.now, yard.now + 1)

    @clause("CLAIM-9")
    async def test_what_waits_is_given_whatever_its_due(self, yard: Yard) -> None:
        due = yard.now + 1_000
        await yard.add(spec("a", delay_ms=1_000), spec("b", delay_ms=900, priority=5))
        ahead = want(limit=1, as_of=due)
        assert await yard.claimed_ids(ahead) == ["b"]
        record = await yard.job("a")
        assert (record.state, record.due_at) == (JobState.WAITING, due)
        lease = await yard.claim_one(want())
        assert (lease.job_id, lease.due_at) == ("a", due)

    @clause("CLAIM-9", "SETTLE-9")
    async def test_a_job_given_ahead_and_released_waits(self, yard: Yard) -> None:
        await yard.add(spec("a", delay_ms=1_000))
        lease = await yard.claim_one(want(as_of=yard.now + 1_000))
        await yard.settle(lease, Released())
        record = await yard.job("a")
        assert (record.state, record.due_at) == (JobState.WAITING, yard.now + 1_000)
        assert await yard.claimed_ids() == ["a"]

    # -- coming back short --------------------------------------------------------------------

    @clause("CLAIM-10", "CLAIM-11")
    @pytest.mark.parametrize("limit", [1, 3, 10])
    async def test_a_claim_that_falls_short_says_so(self, yard: Yard, limit: int) -> None:
        await yard.backend.add([tuple(spec(f"old{n:02}", ttl_ms=10) for n in range(25))])
        await yard.backend.add([tuple(spec(f"new{n}") for n in range(5))])
        unit = tuple(spec(f"wait{n}", delay_ms=5, ttl_ms=4) for n in range(5))
        await yard.backend.add([unit])
        await yard.add(spec("later", delay_ms=60_000))
        yard.pass_ms(10)
        given: list[str] = []
        for _ in range(100):
            claimed = await yard.backend.claim(want(limit=limit))
            given += ids(claimed.leases)
            if len(claimed.leases) < limit and not _again(claimed):
                assert claimed.next_due == yard.now - 10 + 60_000
                break
        assert given == [f"new{n}" for n in range(5)]

    @clause("CLAIM-10", "CLAIM-11")
    async def test_a_claim_that_ends_jobs_ends_them_as_a_reap_does(self, yard: Yard) -> None:
        start = await yard.subscribe()
        await yard.add(spec("dead", ttl_ms=10, dead_letter=True), spec("plain", ttl_ms=10))
        yard.pass_ms(10)
        while _again(claimed := await yard.backend.claim(want())):
            assert claimed.leases == ()
        await yard.backend.reap(limit=10)
        states = [(await yard.job(each)).state for each in ("dead", "plain")]
        assert states == [JobState.DEAD, JobState.FAILED]
        told = [each for each in await yard.kinds(start) if each[0] == "failed"]
        assert sorted(told) == [("failed", "dead"), ("failed", "plain")]


def _again(claimed: Claimed) -> bool:
    """Tell whether a claim asks to be repeated at once."""
    return claimed.next_due is not None and claimed.next_due <= claimed.now
