"""Reaping: what becomes of leases and jobs whose time has run out."""

from __future__ import annotations

import asyncio

import pytest

from jobyard.edits import Cancel, Pause
from jobyard.job import JobState, Reason
from jobyard.lease import Done, Failed, Hold, Reaped, Retried, Settled
from jobyard_conformance.builders import QUEUE, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard


class Reaping(Chapter):
    """What `reap` moves and answers."""

    chapter = "reaping"

    @clause("REAP-1")
    async def test_an_expired_lease_gives_its_job_back(self, yard: Yard) -> None:
        await yard.add(spec("a", delay_ms=10, attempts=9))
        yard.pass_ms(10)
        lease = await yard.claim_one()
        await yard.settle(lease, Retried(0, b"boom"))
        before = await yard.job("a")
        yard.pass_ms(1_000)
        lease = await yard.claim_one(want(worker="w7"))
        yard.pass_ms(lease.until - yard.now + 1)
        assert list(await yard.backend.reap(limit=10)) == [
            Reaped(
                job_id="a",
                queue=QUEUE,
                name="send",
                fence=lease.fence,
                crashes=1,
                state=JobState.WAITING,
                worker="w7",
            )
        ]
        record = await yard.job("a")
        assert (record.state, record.due_at, record.no) == (
            JobState.WAITING,
            before.due_at,
            before.no,
        )
        assert (record.crashes, record.failures) == (1, 1)
        assert record.lease_until is None

    @clause("REAP-1")
    async def test_a_reaped_job_takes_its_old_place(self, yard: Yard) -> None:
        await yard.add(spec("a"))
        lease = await yard.claim_one()
        yard.pass_ms(5)
        await yard.add(spec("b"))
        yard.pass_ms(lease.until - yard.now + 1)
        await yard.backend.reap(limit=10)
        assert await yard.claimed_ids() == ["a", "b"]

    @clause("REAP-1")
    async def test_a_reaped_lease_holds_nothing(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        yard.pass_ms(lease.until - yard.now + 1)
        await yard.backend.reap(limit=10)
        assert await yard.settle(lease, Done()) is Settled.LOST
        assert list(await yard.backend.extend([lease], ttl_ms=1_000)) == [Hold.LOST]

    @clause("REAP-1")
    async def test_a_paused_queue_is_reaped_too(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        await yard.backend.control(QUEUE, Pause())
        yard.pass_ms(lease.until - yard.now + 1)
        assert [each.job_id for each in await yard.backend.reap(limit=10)] == ["a"]

    @clause("REAP-2")
    @pytest.mark.parametrize("dead_letter", [False, True])
    @pytest.mark.parametrize("allowed", [1, 3])
    async def test_a_crash_loop_ends(self, yard: Yard, allowed: int, *, dead_letter: bool) -> None:
        end = JobState.DEAD if dead_letter else JobState.FAILED
        await yard.add(spec("a", max_crashes=allowed, attempts=1, dead_letter=dead_letter))
        states = []
        for _ in range(allowed):
            lease = await yard.claim_one()
            yard.pass_ms(lease.until - yard.now + 1)
            (reaped,) = await yard.backend.reap(limit=10)
            states.append((reaped.state, reaped.reason, reaped.crashes))
        expected = [(JobState.WAITING, None, n) for n in range(1, allowed)]
        assert states == [*expected, (end, Reason.CRASH_LOOP, allowed)]
        record = await yard.job("a")
        assert (record.state, record.reason, record.finished_at) == (
            end,
            Reason.CRASH_LOOP,
            yard.now,
        )
        assert (record.crashes, record.failures) == (allowed, 0)
        assert await yard.claimed_ids() == []

    @clause("REAP-3")
    async def test_a_lease_that_lasts_is_left_alone(self, yard: Yard) -> None:
        await yard.add(spec("short"), spec("long", queue="other"))
        short = await yard.claim_one(want(ttl_ms=1_000))
        await yard.claim_one(want("other", ttl_ms=5_000))
        yard.pass_ms(999)
        assert list(await yard.backend.reap(limit=10)) == []
        yard.pass_ms(2)
        assert [each.job_id for each in await yard.backend.reap(limit=10)] == ["short"]
        assert (await yard.job("long")).crashes == 0
        assert await yard.settle(short, Done()) is Settled.LOST

    @clause("REAP-4")
    async def test_a_pending_job_past_its_time_to_live_ends(self, yard: Yard) -> None:
        await yard.add(
            spec("w", ttl_ms=1_000), spec("d", delay_ms=60_000, ttl_ms=1_000), spec("lives")
        )
        yard.pass_ms(999)
        assert list(await yard.backend.reap(limit=10)) == []
        yard.pass_ms(2)
        reaped = await yard.backend.reap(limit=10)
        told = sorted((each.job_id, each.state, each.reason, each.worker) for each in reaped)
        assert told == [
            ("d", JobState.FAILED, Reason.EXPIRED, None),
            ("w", JobState.FAILED, Reason.EXPIRED, None),
        ]
        for job_id in ("w", "d"):
            record = await yard.job(job_id)
            assert (record.state, record.reason) == (JobState.FAILED, Reason.EXPIRED)
            assert (record.failures, record.crashes, record.finished_at) == (0, 0, yard.now)
        assert (await yard.job("lives")).state is JobState.WAITING
        assert list(await yard.backend.reap(limit=10)) == []

    @clause("REAP-4")
    async def test_an_active_job_past_its_time_to_live_ends(self, yard: Yard) -> None:
        await yard.add(spec("a", ttl_ms=1_000))
        lease = await yard.claim_one(want(ttl_ms=600_000))
        yard.pass_ms(1_001)
        (reaped,) = await yard.backend.reap(limit=10)
        assert (reaped.state, reaped.reason) == (JobState.FAILED, Reason.EXPIRED)
        assert (await yard.job("a")).state is JobState.FAILED
        assert await yard.settle(lease, Done()) is Settled.LOST
        assert list(await yard.backend.extend([lease], ttl_ms=1_000)) == [Hold.LOST]

    @clause("REAP-4")
    async def test_a_retried_job_keeps_its_time_to_live(self, yard: Yard) -> None:
        await yard.finish(spec("a", ttl_ms=1_000, attempts=9), Retried(60_000))
        yard.pass_ms(1_001)
        assert [each.job_id for each in await yard.backend.reap(limit=10)] == ["a"]

    @clause("REAP-4")
    async def test_a_finished_job_stays_as_it_is(self, yard: Yard) -> None:
        await yard.finish(spec("done", ttl_ms=1_000), Done(b"r"))
        await yard.finish(spec("failed", ttl_ms=1_000), Failed(Reason.REFUSED))
        before = await yard.backend.get(["done", "failed"])
        yard.pass_ms(5_000)
        assert list(await yard.backend.reap(limit=10)) == []
        assert list(await yard.backend.get(["done", "failed"])) == list(before)

    @clause("REAP-5")
    async def test_each_job_is_answered_to_one_reaper(self, yard: Yard) -> None:
        handles = [yard.backend, *[await yard.another() for _ in range(3)]]
        await yard.backend.add([tuple(spec(f"j{n:02}") for n in range(30))])
        await yard.backend.add([tuple(spec(f"t{n:02}", ttl_ms=5, queue="t") for n in range(10))])
        await yard.claim()
        yard.pass_ms(3_600_000)
        answers = await asyncio.gather(
            *(handle.reap(limit=7) for handle in handles for _ in range(4))
        )
        assert max(len(answer) for answer in answers) <= 7
        told = sorted(each.job_id for answer in answers for each in answer)
        assert told == [f"j{n:02}" for n in range(30)] + [f"t{n:02}" for n in range(10)]
        assert {(await yard.job(f"j{n:02}")).crashes for n in range(30)} == {1}

    @clause("REAP-5")
    async def test_a_reap_moves_no_more_than_its_limit(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c", "d", "e")])
        await yard.claim()
        yard.pass_ms(3_600_000)
        assert [len(await yard.backend.reap(limit=2)) for _ in range(4)] == [2, 2, 1, 0]

    @clause("REAP-6")
    async def test_a_job_asked_to_stop_ends_cancelled(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", max_crashes=9))
        await yard.change("a", Cancel(running=True))
        assert list(await yard.backend.reap(limit=10)) == []
        yard.pass_ms(lease.until - yard.now + 1)
        (reaped,) = await yard.backend.reap(limit=10)
        assert reaped.state is JobState.CANCELLED
        record = await yard.job("a")
        assert (record.state, record.finished_at) == (JobState.CANCELLED, yard.now)
        assert await yard.claimed_ids() == []
