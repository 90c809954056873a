"""Time to live, and the instant at which a time is up."""

from __future__ import annotations

import pytest

from jobyard.edits import Cancel, Change, Clean, Move, Reschedule, Retention, Revive, RunNow
from jobyard.job import FINISHED, JobState, Reason, Retain
from jobyard.lease import Done, Failed, Reaped, Released, Retried, Settled, Snoozed
from jobyard_conformance.builders import QUEUE, TTL, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.chapters.states import ENDS, bring
from jobyard_conformance.chapters.workers import worker
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard

FOREVER = 10**12
each_dead_letter = pytest.mark.parametrize("dead_letter", [False, True])


class Living(Chapter):
    """How long jobs live, and what an instant itself belongs to."""

    chapter = "living"

    # -- starting anew ------------------------------------------------------------------------

    @clause("CHANGE-7", "REAP-4")
    @pytest.mark.parametrize("state", sorted(FINISHED - {JobState.COMPLETED}))
    async def test_revive_starts_the_time_to_live_anew(self, yard: Yard, state: JobState) -> None:
        await self._finished(yard, state)
        await self._lives_again(yard, Revive())

    @clause("CHANGE-10", "REAP-4")
    @pytest.mark.parametrize("state", sorted(FINISHED))
    async def test_a_move_back_starts_the_time_to_live_anew(
        self, yard: Yard, state: JobState
    ) -> None:
        await self._finished(yard, state)
        await self._lives_again(yard, Move(to=JobState.WAITING))

    @clause("CHANGE-7", "REAP-4")
    async def test_an_expired_job_that_is_revived_lives_again(self, yard: Yard) -> None:
        await yard.add(spec("a", ttl_ms=1_000))
        yard.pass_ms(1_000)
        await yard.backend.reap(limit=10)
        await self._lives_again(yard, Revive())

    async def _finished(self, yard: Yard, state: JobState) -> None:
        job = spec("a", ttl_ms=1_000, dead_letter=state is JobState.DEAD)
        await yard.finish(job, ENDS[state])
        yard.pass_ms(5_000)

    async def _lives_again(self, yard: Yard, change: Change) -> None:
        await yard.change("a", change)
        assert (await yard.job("a")).expires_at == yard.now + 1_000
        yard.pass_ms(999)
        assert list(await yard.backend.reap(limit=10)) == []
        lease = await yard.claim_one()
        assert lease.expires_at == yard.now + 1
        yard.pass_ms(1)
        (reaped,) = await yard.backend.reap(limit=10)
        assert (reaped.state.is_finished, reaped.reason) == (True, Reason.EXPIRED)

    @clause("CHANGE-7")
    async def test_a_job_that_lives_for_ever_does_so_when_revived(self, yard: Yard) -> None:
        await yard.finish(spec("a"), Failed(Reason.REFUSED))
        await yard.change("a", Revive())
        assert (await yard.job("a")).expires_at is None
        yard.pass_ms(FOREVER)
        assert await yard.claimed_ids() == ["a"]

    @clause("REAP-4")
    async def test_nothing_else_lengthens_a_life(self, yard: Yard) -> None:
        until = yard.now + 1_000
        lease = await yard.running(spec("a", ttl_ms=1_000, attempts=9))
        for outcome in (Released(), Retried(0), Snoozed(0), Retried(200)):
            yard.pass_ms(100)
            await yard.settle(lease, outcome)
            await yard.change("a", RunNow())
            lease = await yard.claim_one()
        await yard.change("a", Move(to=JobState.WAITING))
        await yard.change("a", Reschedule(delay_ms=FOREVER))
        assert (await yard.job("a")).expires_at == until
        yard.pass_ms(until - yard.now)
        assert [each.job_id for each in await yard.backend.reap(limit=10)] == ["a"]

    # -- expiring -----------------------------------------------------------------------------

    @clause("REAP-4")
    @each_dead_letter
    @pytest.mark.parametrize("state", ["waiting", "delayed", "active"])
    async def test_an_expired_job_ends_dead_if_it_asked_to(
        self, yard: Yard, state: str, *, dead_letter: bool
    ) -> None:
        delay_ms = 9_000 if state == "delayed" else 0
        await yard.add(spec("a", ttl_ms=1_000, delay_ms=delay_ms, dead_letter=dead_letter))
        fence = (await yard.claim_one(want(ttl_ms=5_000))).fence if state == "active" else 0
        yard.pass_ms(1_000)
        end = JobState.DEAD if dead_letter else JobState.FAILED
        assert list(await yard.backend.reap(limit=10)) == [
            Reaped(
                job_id="a",
                queue=QUEUE,
                name="send",
                fence=fence,
                crashes=0,
                state=end,
                reason=Reason.EXPIRED,
                worker="worker-1" if state == "active" else None,
            )
        ]
        record = await yard.job("a")
        assert (record.state, record.reason) == (end, Reason.EXPIRED)
        assert (record.finished_at, record.lease_until) == (yard.now, None)
        assert (record.crashes, record.failures) == (0, 0)

    @clause("REAP-4", "REAP-6")
    async def test_a_life_that_is_over_goes_before_the_lease(self, yard: Yard) -> None:
        await yard.backend.add([specs("plain", "loop", "asked", ttl_ms=1_000, max_crashes=1)])
        leases = await yard.claim(want(ttl_ms=500))
        await yard.change("asked", Cancel(running=True))
        yard.pass_ms(2_000)
        reaped = await yard.backend.reap(limit=10)
        told = {each.job_id: (each.state, each.reason, each.crashes) for each in reaped}
        expired = (JobState.FAILED, Reason.EXPIRED, 0)
        assert told == dict.fromkeys(("plain", "loop", "asked"), expired)
        for lease in leases:
            assert (await yard.job(lease.job_id)).crashes == 0
            assert await yard.settle(lease, Done()) is Settled.LOST

    @clause("REAP-4", "SETTLE-11")
    @each_dead_letter
    async def test_an_expired_job_that_is_not_kept_leaves_no_record(
        self, yard: Yard, *, dead_letter: bool
    ) -> None:
        rule = Retain(count=0)
        await yard.add(spec("a", ttl_ms=10, keep_failed=rule, dead_letter=dead_letter))
        yard.pass_ms(10)
        (reaped,) = await yard.backend.reap(limit=10)
        assert reaped.reason is Reason.EXPIRED
        assert await yard.find("a") is None

    @clause("SETTLE-2", "REAP-4")
    async def test_an_expired_job_that_nobody_reaped_settles(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", ttl_ms=1_000))
        yard.pass_ms(2_000)
        assert await yard.settle(lease, Done(b"r")) is Settled.OK
        assert list(await yard.backend.reap(limit=10)) == []
        assert (await yard.job("a")).result == b"r"

    @clause("CLAIM-9", "CLAIM-11")
    async def test_a_look_ahead_does_not_look_past_a_life(self, yard: Yard) -> None:
        await yard.add(spec("a", ttl_ms=1_000), spec("b", delay_ms=3_000, ttl_ms=1_000))
        yard.pass_ms(999)
        ahead = want(as_of=yard.now + 60_000)
        assert await yard.claimed_ids(ahead) == ["a", "b"]

    # -- the instant itself -------------------------------------------------------------------

    @clause("REAP-1", "REAP-3")
    async def test_a_lease_has_expired_from_its_instant_on(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        assert lease.until == yard.now + TTL
        yard.pass_ms(TTL - 1)
        assert list(await yard.backend.reap(limit=10)) == []
        yard.pass_ms(1)
        assert [each.job_id for each in await yard.backend.reap(limit=10)] == ["a"]

    @clause("REAP-3", "EXTEND-1")
    async def test_an_extended_lease_has_expired_from_its_instant_on(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        await yard.backend.extend([lease], ttl_ms=TTL + 7)
        yard.pass_ms(TTL + 6)
        assert list(await yard.backend.reap(limit=10)) == []
        yard.pass_ms(1)
        assert [each.job_id for each in await yard.backend.reap(limit=10)] == ["a"]

    @clause("REAP-4", "CLAIM-11")
    async def test_a_life_is_over_from_its_instant_on(self, yard: Yard) -> None:
        await yard.add(spec("a", ttl_ms=1_000), spec("b", ttl_ms=1_000, delay_ms=1_000))
        yard.pass_ms(999)
        assert [each.id for each in await yard.backend.peek(want())] == ["a"]
        yard.pass_ms(1)
        assert list(await yard.backend.peek(want())) == []
        assert await yard.claimed_ids() == []
        await yard.backend.reap(limit=10)
        for job_id in ("a", "b"):
            record = await yard.job(job_id)
            assert (record.state, record.reason) == (JobState.FAILED, Reason.EXPIRED)

    @clause("WORKER-1")
    async def test_a_word_has_expired_from_its_instant_on(self, yard: Yard) -> None:
        await yard.backend.beat(worker("w"), ttl_ms=1_000)
        yard.pass_ms(999)
        assert len(await yard.backend.workers()) == 1
        yard.pass_ms(1)
        assert len(await yard.backend.workers()) == 0

    @clause("CLAIM-5", "CLAIM-9")
    @pytest.mark.parametrize("ahead_ms", [0, 50])
    async def test_a_job_is_due_from_its_instant_on(self, yard: Yard, ahead_ms: int) -> None:
        await yard.add(spec("a", delay_ms=100))
        yard.pass_ms(99 - ahead_ms)
        assert await yard.claimed_ids(want(as_of=yard.now + ahead_ms)) == []
        yard.pass_ms(1)
        assert await yard.claimed_ids(want(as_of=yard.now + ahead_ms)) == ["a"]

    @clause("SWEEP-3")
    @pytest.mark.parametrize("state", sorted(FINISHED))
    async def test_a_clean_takes_what_is_strictly_older(self, yard: Yard, state: JobState) -> None:
        await bring(yard, spec("a"), state)
        sweep = Clean(states=FINISHED, older_than_ms=250)
        yard.pass_ms(250)
        assert await yard.sweep_all(sweep) == 0
        yard.pass_ms(1)
        assert await yard.sweep_all(sweep) == 1

    @clause("SWEEP-3")
    async def test_a_clean_of_age_nought_spares_this_instant(self, yard: Yard) -> None:
        await yard.finish(spec("a"), Done())
        assert await yard.sweep_all(Clean(states=FINISHED, older_than_ms=0)) == 0
        yard.pass_ms(1)
        assert await yard.sweep_all(Clean(states=FINISHED, older_than_ms=0)) == 1

    @clause("SWEEP-5")
    @pytest.mark.parametrize("state", sorted(FINISHED - {JobState.STALLED}))
    async def test_retention_takes_what_is_strictly_older(
        self, yard: Yard, state: JobState
    ) -> None:
        await bring(yard, spec("a"), state)
        done = state is JobState.COMPLETED
        ages = (250, FOREVER) if done else (FOREVER, 250)
        sweep = Retention(completed_ms=ages[0], others_ms=ages[1], count=100)
        yard.pass_ms(250)
        assert await yard.sweep_all(sweep) == 0
        yard.pass_ms(1)
        assert await yard.sweep_all(sweep) == 1

    @clause("SWEEP-5")
    async def test_a_keep_rule_takes_what_is_strictly_older(self, yard: Yard) -> None:
        rule = Retain(age_ms=250)
        await yard.finish(spec("c", keep_completed=rule), Done())
        await yard.finish(spec("f", keep_failed=rule), Failed(Reason.REFUSED))
        sweep = Retention(completed_ms=5, others_ms=5, count=100)
        yard.pass_ms(250)
        assert await yard.sweep_all(sweep) == 0
        yard.pass_ms(1)
        assert await yard.sweep_all(sweep) == 2
