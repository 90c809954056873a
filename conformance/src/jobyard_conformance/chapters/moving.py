"""Moving and cancelling by hand: what stays of a job, what is forgotten, what is told."""

from __future__ import annotations

import pytest

from jobyard.edits import Cancel, Changed, ChangeOutcome, Move, Revive
from jobyard.events import EventKind
from jobyard.job import FINISHED, JobState, Reason, Retain
from jobyard.lease import Failed, Hold, Progress, Released, Retried, Settled, Stalled
from jobyard_conformance.builders import spec, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.chapters.states import ENDS, bring
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard

UNFINISHED = ("waiting", "delayed", "active")


class Moving(Chapter):
    """What `Move` and `Cancel` do beside changing the state."""

    chapter = "moving"

    # -- moves --------------------------------------------------------------------------------

    @clause("CHANGE-10")
    @pytest.mark.parametrize("dead_letter", [False, True])
    @pytest.mark.parametrize("state", [*UNFINISHED, "stalled"])
    async def test_a_move_to_failed_is_the_doing_of_a_person(
        self, yard: Yard, state: str, *, dead_letter: bool
    ) -> None:
        delay_ms = 9_000 if state == "delayed" else 0
        await yard.add(spec("a", delay_ms=delay_ms, dead_letter=dead_letter))
        if state in {"active", "stalled"}:
            lease = await yard.claim_one()
            if state == "stalled":
                await yard.settle(lease, Stalled(b"slow"))
        yard.pass_ms(10)
        changed = await yard.change("a", Move(to=JobState.FAILED, error=b"by hand"))
        assert changed == Changed(ChangeOutcome.OK, JobState.FAILED)
        record = await yard.job("a")
        assert (record.state, record.reason) == (JobState.FAILED, Reason.ADMIN)
        assert (record.error, record.finished_at) == (b"by hand", yard.now)
        assert record.failures == (1 if state == "stalled" else 0)

    @clause("CHANGE-10")
    async def test_a_move_from_active_to_waiting_keeps_the_counts(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", attempts=9, max_crashes=9))
        await yard.settle(lease, Retried(0, b"boom"))
        lease = await yard.claim_one()
        yard.pass_ms(lease.until - yard.now)
        await yard.backend.reap(limit=1)
        lease = await yard.claim_one(want(worker="w2"))
        await yard.backend.report([Progress(lease, b"half")])
        yard.pass_ms(10)
        await yard.change("a", Move(to=JobState.WAITING))
        record = await yard.job("a")
        assert (record.state, record.due_at) == (JobState.WAITING, yard.now)
        assert (record.failures, record.crashes, record.error) == (1, 1, b"boom")
        assert (record.progress, record.lease_until) == (b"half", None)
        assert await yard.settle(lease, Released()) is Settled.LOST

    @clause("CHANGE-10")
    @pytest.mark.parametrize("state", sorted(FINISHED))
    async def test_a_move_back_to_waiting_forgets_the_end(
        self, yard: Yard, state: JobState
    ) -> None:
        job = spec("a", attempts=2, max_crashes=9, dead_letter=state is JobState.DEAD)
        lease = await yard.running(job)
        yard.pass_ms(lease.until - yard.now)
        await yard.backend.reap(limit=1)
        await yard.settle(await yard.claim_one(), Retried(0, b"boom"))
        await yard.settle(await yard.claim_one(), ENDS[state])
        before = await yard.job("a")
        assert before.state is state
        yard.pass_ms(10)
        changed = await yard.change("a", Move(to=JobState.WAITING))
        assert changed == Changed(ChangeOutcome.OK, JobState.WAITING)
        record = await yard.job("a")
        assert (record.state, record.due_at, record.no) == (JobState.WAITING, yard.now, before.no)
        assert (record.failures, record.crashes) == (before.failures, 1), "the counts stay"
        assert (record.result, record.error, record.reason) == (None, None, None)
        assert (record.finished_at, record.cancel_asked) == (None, False)

    @clause("CHANGE-10", "SETTLE-3")
    async def test_a_move_does_not_make_a_settlement_forgotten(self, yard: Yard) -> None:
        lease = await yard.finish(spec("a"), Failed(Reason.REFUSED))
        await yard.change("a", Move(to=JobState.WAITING))
        assert await yard.settle(lease, Failed(Reason.REFUSED)) is Settled.ALREADY
        await yard.claim_one()
        assert await yard.settle(lease, Failed(Reason.REFUSED)) is Settled.LOST

    @clause("CHANGE-10", "SETTLE-11")
    @pytest.mark.parametrize("to", ["completed", "failed"])
    async def test_a_moved_job_that_is_not_kept_leaves_no_record(self, yard: Yard, to: str) -> None:
        none = Retain(count=0)
        await yard.add(spec("a", keep_completed=none, keep_failed=none))
        changed = await yard.change("a", Move(to=JobState(to)))
        assert changed.outcome is ChangeOutcome.OK
        assert await yard.find("a") is None

    # -- what is told -------------------------------------------------------------------------

    @clause("EVENTS-5", "CHANGE-10")
    @pytest.mark.parametrize("state", [*UNFINISHED, "stalled"])
    @pytest.mark.parametrize("to", ["completed", "failed"])
    async def test_a_move_to_an_end_is_told(self, yard: Yard, state: str, to: str) -> None:
        await bring(yard, spec("a"), JobState(state))
        start = await yard.subscribe()
        await yard.change("a", Move(to=JobState(to), result=b"r", error=b"e"))
        (event,) = await _told(yard, start)
        assert event == (to, b"r" if to == "completed" else b"e")

    @clause("EVENTS-5", "CHANGE-10")
    async def test_a_move_to_stalled_is_told(self, yard: Yard) -> None:
        await yard.running(spec("a"))
        start = await yard.subscribe()
        await yard.change("a", Move(to=JobState.STALLED, error=b"e"))
        assert await _told(yard, start) == [("stalled", b"e")]

    @clause("EVENTS-5", "CHANGE-10")
    @pytest.mark.parametrize("state", [JobState.ACTIVE, *sorted(FINISHED)])
    async def test_a_move_to_waiting_is_told(self, yard: Yard, state: JobState) -> None:
        await bring(yard, spec("a"), state)
        start = await yard.subscribe()
        await yard.change("a", Move(to=JobState.WAITING))
        await yard.change("a", Move(to=JobState.WAITING))
        kind = "released" if state is JobState.ACTIVE else "revived"
        assert await _told(yard, start) == [(kind, None)]

    @clause("EVENTS-5", "CHANGE-8")
    async def test_a_cancellation_is_told_when_it_ends_the_job(self, yard: Yard) -> None:
        await bring(yard, spec("w", queue="w"), JobState.WAITING)
        await bring(yard, spec("d", queue="d"), JobState.DELAYED)
        await bring(yard, spec("r", queue="r"), JobState.ACTIVE)
        start = await yard.subscribe()
        for job_id in ("w", "d", "r", "w", "r"):
            await yard.change(job_id, Cancel(running=True))
        told = [each for each in await yard.kinds(start) if each[0] != EventKind.DRAINED]
        assert told == [("cancelled", "w"), ("cancelled", "d")]

    # -- asking -------------------------------------------------------------------------------

    @clause("EXTEND-3", "CHANGE-8")
    @pytest.mark.parametrize("delay_ms", [None, 0, 500])
    async def test_the_asking_lasts_over_later_leases(
        self, yard: Yard, delay_ms: int | None
    ) -> None:
        lease = await yard.running(spec("a", attempts=9))
        await yard.change("a", Cancel(running=True))
        await yard.settle(lease, Released() if delay_ms is None else Retried(delay_ms))
        assert (await yard.job("a")).cancel_asked
        yard.pass_ms(delay_ms or 0)
        lease = await yard.claim_one()
        assert list(await yard.backend.extend([lease], ttl_ms=1_000)) == [Hold.CANCELLED]
        yard.pass_ms(lease.until - yard.now)
        (reaped,) = await yard.backend.reap(limit=10)
        assert reaped.state is JobState.CANCELLED

    @clause("EXTEND-3", "CHANGE-10")
    async def test_the_asking_lasts_over_a_move_of_an_active_job(self, yard: Yard) -> None:
        await yard.running(spec("a"))
        await yard.change("a", Cancel(running=True))
        await yard.change("a", Move(to=JobState.WAITING))
        assert (await yard.job("a")).cancel_asked
        lease = await yard.claim_one()
        assert list(await yard.backend.extend([lease], ttl_ms=1_000)) == [Hold.CANCELLED]

    @clause("EXTEND-3", "CHANGE-7", "CHANGE-10")
    @pytest.mark.parametrize("state", sorted(FINISHED - {JobState.COMPLETED}))
    @pytest.mark.parametrize("by_move", [False, True])
    async def test_a_revived_job_is_not_asked_any_more(
        self, yard: Yard, state: JobState, *, by_move: bool
    ) -> None:
        lease = await yard.running(spec("a", dead_letter=state is JobState.DEAD))
        await yard.change("a", Cancel(running=True))
        await yard.settle(lease, ENDS[state])
        await yard.change("a", Move(to=JobState.WAITING) if by_move else Revive())
        assert not (await yard.job("a")).cancel_asked
        lease = await yard.claim_one()
        assert list(await yard.backend.extend([lease], ttl_ms=1_000)) == [Hold.HELD]


async def _told(yard: Yard, after: str) -> list[tuple[str, bytes | None]]:
    events = [each for each in await yard.events(after) if each.kind != EventKind.DRAINED]
    assert {event.job_id for event in events} <= {"a"}
    return [(event.kind.value, event.data) for event in events]
