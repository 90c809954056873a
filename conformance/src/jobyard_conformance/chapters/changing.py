"""Changing jobs from outside their runs."""

from __future__ import annotations

import pytest

from jobyard.edits import (
    Cancel,
    Change,
    Changed,
    ChangeOutcome,
    Move,
    Remove,
    Reschedule,
    Revive,
    RunNow,
    SetPayload,
    SetPriority,
    SetProgress,
)
from jobyard.job import FINISHED, JobState, Reason
from jobyard.lease import Done, Failed, Hold, LogLine, Progress, Released, Retried, Settled
from jobyard.query import JobQuery
from jobyard_conformance.builders import QUEUE, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.chapters.states import REACHABLE, bring
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard

PENDING = {JobState.WAITING, JobState.DELAYED}
ACTIVE = {JobState.ACTIVE}
STALLED = {JobState.STALLED}

FITS: dict[str, tuple[Change, set[JobState]]] = {
    "run-now": (RunNow(), {JobState.DELAYED}),
    "reschedule": (Reschedule(delay_ms=5), PENDING),
    "set-priority": (SetPriority(7), PENDING),
    "set-payload": (SetPayload(b"new"), PENDING | ACTIVE),
    "set-progress": (SetProgress(b"50"), ACTIVE),
    "revive": (Revive(), set(FINISHED) - {JobState.COMPLETED}),
    "cancel": (Cancel(), PENDING),
    "cancel-running": (Cancel(running=True), PENDING | ACTIVE),
    "remove": (Remove(), PENDING | set(FINISHED)),
    "move-to-waiting": (Move(to=JobState.WAITING), ACTIVE | set(FINISHED)),
    "move-to-completed": (Move(to=JobState.COMPLETED), PENDING | ACTIVE | STALLED),
    "move-to-failed": (Move(to=JobState.FAILED), PENDING | ACTIVE | STALLED),
    "move-to-stalled": (Move(to=JobState.STALLED), ACTIVE),
    "move-to-delayed": (Move(to=JobState.DELAYED), set()),
    "move-to-active": (Move(to=JobState.ACTIVE), set()),
    "move-to-blocked": (Move(to=JobState.BLOCKED), set()),
}
each_reachable = pytest.mark.parametrize("state", REACHABLE)


class Changing(Chapter):
    """What each change does, and to jobs in which states."""

    chapter = "changing"

    @clause("CHANGE-1")
    @pytest.mark.parametrize("name", FITS)
    @each_reachable
    async def test_a_change_fits_some_states_and_leaves_the_others(
        self, yard: Yard, state: JobState, name: str
    ) -> None:
        change, fitting = FITS[name]
        await bring(yard, spec("a"), state)
        before = await yard.job("a")
        yard.pass_ms(10)
        changed = await yard.change("a", change)
        if state in fitting:
            assert changed.outcome in {ChangeOutcome.OK, ChangeOutcome.ASKED}
            assert await yard.find("a") != before
        else:
            assert changed == Changed(ChangeOutcome.WRONG_STATE, state)
            assert await yard.job("a") == before

    @clause("CHANGE-1")
    async def test_answers_are_in_the_order_asked(self, yard: Yard) -> None:
        await yard.add(spec("d1", delay_ms=99), spec("w"), spec("d2", delay_ms=99))
        answers = await yard.backend.change(["d2", "unknown", "w", "d1"], RunNow())
        assert list(answers) == [
            Changed(ChangeOutcome.OK, JobState.WAITING),
            Changed(ChangeOutcome.NOT_FOUND, None),
            Changed(ChangeOutcome.WRONG_STATE, JobState.WAITING),
            Changed(ChangeOutcome.OK, JobState.WAITING),
        ]
        assert list(await yard.backend.change([], RunNow())) == []

    @clause("CHANGE-1")
    @pytest.mark.parametrize("name", FITS)
    @pytest.mark.case("B22")
    async def test_an_unknown_job_is_not_found(self, yard: Yard, name: str) -> None:
        change, _ = FITS[name]
        assert await yard.change("unknown", change) == Changed(ChangeOutcome.NOT_FOUND)

    @clause("CHANGE-2")
    async def test_run_now_makes_a_delayed_job_due(self, yard: Yard) -> None:
        await yard.add(spec("a", delay_ms=60_000), spec("overdue", delay_ms=5))
        yard.pass_ms(10)
        for job_id in ("a", "overdue"):
            await yard.change(job_id, RunNow())
            record = await yard.job(job_id)
            assert (record.state, record.due_at) == (JobState.WAITING, yard.now)
        assert await yard.claimed_ids() == ["a", "overdue"]

    @clause("CHANGE-3")
    @pytest.mark.parametrize("delay_ms", [0, 500])
    @pytest.mark.parametrize("by", ["delay", "instant"])
    async def test_reschedule_puts_a_job_off(self, yard: Yard, delay_ms: int, by: str) -> None:
        await yard.add(spec("a", delay_ms=delay_ms))
        yard.pass_ms(10)
        due = yard.now + 1_000
        change = Reschedule(delay_ms=1_000) if by == "delay" else Reschedule(run_at=due)
        assert await yard.change("a", change) == Changed(ChangeOutcome.OK, JobState.DELAYED)
        record = await yard.job("a")
        assert (record.state, record.due_at) == (JobState.DELAYED, due)
        yard.pass_ms(999)
        assert await yard.claimed_ids() == []
        yard.pass_ms(1)
        assert await yard.claimed_ids() == ["a"]

    @clause("CHANGE-3")
    @pytest.mark.parametrize("delay_ms", [0, 500])
    @pytest.mark.parametrize("ago_ms", [None, 0, 5_000])
    async def test_reschedule_to_the_past_is_now(
        self, yard: Yard, delay_ms: int, ago_ms: int | None
    ) -> None:
        await yard.add(spec("a", delay_ms=delay_ms))
        yard.pass_ms(10)
        change = Reschedule() if ago_ms is None else Reschedule(run_at=yard.now - ago_ms)
        assert await yard.change("a", change) == Changed(ChangeOutcome.OK, JobState.WAITING)
        record = await yard.job("a")
        assert (record.state, record.due_at) == (JobState.WAITING, yard.now)
        assert await yard.claimed_ids() == ["a"]

    @clause("CHANGE-4")
    async def test_a_new_priority_is_a_new_place(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c", "d")])
        before = await yard.job("c")
        yard.pass_ms(10)
        await yard.change("c", SetPriority(5))
        await yard.change("a", SetPriority(-5))
        record = await yard.job("c")
        assert (record.priority, record.due_at, record.no) == (5, before.due_at, before.no)
        await yard.change("d", SetPriority(1))
        await yard.change("d", SetPriority(0))
        assert await yard.claimed_ids() == ["c", "b", "d", "a"]

    @clause("CHANGE-4")
    async def test_a_delayed_job_keeps_its_new_priority(self, yard: Yard) -> None:
        await yard.add(spec("a", delay_ms=5), spec("b", delay_ms=9), spec("c"))
        await yard.change("b", SetPriority(3))
        assert (await yard.job("b")).state is JobState.DELAYED
        yard.pass_ms(10)
        leases = await yard.claim()
        assert [(each.job_id, each.priority) for each in leases] == [("b", 3), ("c", 0), ("a", 0)]

    @clause("CHANGE-5")
    async def test_a_new_payload_is_for_the_next_claim(self, yard: Yard) -> None:
        await yard.add(spec("a", payload=b"old"))
        await yard.change("a", SetPayload(b"new"))
        lease = await yard.claim_one(want(lease_id="L"))
        assert lease.payload == b"new"
        await yard.change("a", SetPayload(b"newer"))
        assert (await yard.job("a")).state is JobState.ACTIVE
        await yard.settle(lease, Released())
        assert (await yard.claim_one()).payload == b"newer"

    @clause("CHANGE-6", "REPORT-2")
    async def test_progress_is_written_from_outside(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        await yard.backend.report([Progress(lease, b"10")])
        await yard.change("a", SetProgress(b"20"))
        assert (await yard.job("a")).progress == b"20"
        assert await yard.settle(lease, Done()) is Settled.OK
        assert (await yard.job("a")).progress == b"20"

    @clause("CHANGE-7")
    @pytest.mark.parametrize("reset", [False, True])
    @pytest.mark.parametrize("end", ["failed", "cancelled", "stalled", "dead"])
    async def test_revive_makes_a_finished_job_run_again(
        self, yard: Yard, end: str, *, reset: bool
    ) -> None:
        await bring(yard, spec("a"), JobState(end))
        fence = (await yard.job("a")).fence
        yard.pass_ms(10)
        changed = await yard.change("a", Revive(reset=reset))
        assert changed == Changed(ChangeOutcome.OK, JobState.WAITING)
        record = await yard.job("a")
        assert (record.state, record.due_at) == (JobState.WAITING, yard.now)
        assert (record.failures, record.crashes) == (0, 0)
        assert (record.result, record.error, record.reason) == (None, None, None)
        assert record.finished_at is None
        assert (await yard.claim_one()).fence > fence

    @clause("CHANGE-7")
    @pytest.mark.parametrize(
        ("failed", "reset", "left"), [(3, False, 2), (3, True, 0), (1, False, 1), (2, True, 0)]
    )
    async def test_revive_leaves_one_attempt_or_all(
        self, yard: Yard, failed: int, left: int, *, reset: bool
    ) -> None:
        lease = await yard.running(spec("a", attempts=3))
        for _ in range(failed - 1):
            await yard.settle(lease, Retried(0))
            lease = await yard.claim_one()
        await yard.settle(lease, Failed(Reason.REFUSED))
        assert (await yard.job("a")).failures == failed
        await yard.change("a", Revive(reset=reset))
        assert (await yard.job("a")).failures == left

    @clause("CHANGE-7")
    async def test_revive_forgives_crashes(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", max_crashes=1))
        yard.pass_ms(lease.until - yard.now + 1)
        await yard.backend.reap(limit=1)
        await yard.change("a", Revive())
        assert (await yard.claim_one()).crashes == 0

    @clause("CHANGE-8")
    @pytest.mark.parametrize("state", sorted(PENDING))
    @pytest.mark.parametrize("running", [False, True])
    @pytest.mark.case("B22")
    async def test_cancel_ends_a_pending_job(
        self, yard: Yard, state: JobState, *, running: bool
    ) -> None:
        await bring(yard, spec("a"), state)
        changed = await yard.change("a", Cancel(running=running))
        assert changed == Changed(ChangeOutcome.OK, JobState.CANCELLED)
        record = await yard.job("a")
        assert (record.state, record.finished_at) == (JobState.CANCELLED, yard.now)
        yard.pass_ms(10_000_000)
        assert await yard.claimed_ids() == []

    @clause("CHANGE-8")
    @pytest.mark.case("B22")
    async def test_cancel_asks_an_active_job(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        changed = await yard.change("a", Cancel(running=True))
        assert changed == Changed(ChangeOutcome.ASKED, JobState.ACTIVE)
        record = await yard.job("a")
        assert (record.state, record.cancel_asked) == (JobState.ACTIVE, True)
        assert await yard.settle(lease, Done()) is Settled.OK
        assert (await yard.job("a")).state is JobState.COMPLETED

    @clause("CHANGE-9")
    @pytest.mark.parametrize("state", [each for each in REACHABLE if each != JobState.ACTIVE])
    async def test_a_removed_job_leaves_no_trace(self, yard: Yard, state: JobState) -> None:
        lease = await yard.running(spec("logs", queue="logs"))
        await yard.backend.report([LogLine(lease, "line"), Progress(lease, b"1")])
        await yard.settle(lease, Done())
        await bring(yard, spec("a"), state)
        for job_id, was in (("a", state), ("logs", JobState.COMPLETED)):
            changed = await yard.change(job_id, Remove())
            assert changed == Changed(ChangeOutcome.OK, was)
            assert await yard.find(job_id) is None
            assert (await yard.change(job_id, Remove())).outcome is ChangeOutcome.NOT_FOUND
        assert await yard.listed(JobQuery()) == []
        assert (await yard.backend.logs("logs")).items == ()
        assert (await yard.info()).counts.total == 0
        yard.pass_ms(10_000_000)
        assert await yard.claimed_ids() == []
        (added,) = await yard.add(spec("logs", queue="logs"))
        assert added.outcome == "created"
        assert (await yard.job("logs")).progress is None
        assert (await yard.backend.logs("logs")).items == ()

    @clause("CHANGE-10")
    @pytest.mark.parametrize("to", ["waiting", "completed", "failed", "stalled"])
    async def test_a_move_ends_the_lease(self, yard: Yard, to: str) -> None:
        lease = await yard.running(spec("a", attempts=9))
        yard.pass_ms(10)
        changed = await yard.change("a", Move(to=JobState(to), result=b"r", error=b"e"))
        assert changed == Changed(ChangeOutcome.OK, JobState(to))
        moved = await yard.job("a")
        assert (moved.state, moved.lease_until) == (JobState(to), None)
        assert await yard.settle(lease, Failed(Reason.ADMIN)) is Settled.LOST
        assert list(await yard.backend.extend([lease], ttl_ms=1_000)) == [Hold.LOST]
        assert list(await yard.backend.report([Progress(lease, b"1")])) == [Hold.LOST]
        yard.pass_ms(10_000_000)
        assert list(await yard.backend.reap(limit=10)) == []
        assert await yard.job("a") == moved

    @clause("CHANGE-10")
    async def test_a_move_to_waiting_is_due_now(self, yard: Yard) -> None:
        for n, state in enumerate((JobState.ACTIVE, *FINISHED)):
            await bring(yard, spec(f"j{n}"), state)
        yard.pass_ms(10)
        for n in range(6):
            await yard.change(f"j{n}", Move(to=JobState.WAITING))
            record = await yard.job(f"j{n}")
            assert (record.state, record.due_at) == (JobState.WAITING, yard.now)
            assert record.finished_at is None
        assert await yard.claimed_ids() == [f"j{n}" for n in range(6)]

    @clause("CHANGE-10")
    @pytest.mark.parametrize("state", ["waiting", "delayed", "active", "stalled"])
    async def test_a_move_to_an_end_takes_result_and_error(self, yard: Yard, state: str) -> None:
        await bring(yard, spec("a", queue="one"), JobState(state))
        await bring(yard, spec("b", queue="two"), JobState(state))
        yard.pass_ms(10)
        await yard.change("a", Move(to=JobState.COMPLETED, result=b"result"))
        await yard.change("b", Move(to=JobState.FAILED, error=b"by hand"))
        done, failed = await yard.job("a"), await yard.job("b")
        assert (done.state, done.result, done.finished_at) == ("completed", b"result", yard.now)
        assert (failed.state, failed.error, failed.finished_at) == ("failed", b"by hand", yard.now)
        yard.pass_ms(10_000_000)
        assert await yard.claimed_ids(want("one", "two", QUEUE)) == []
