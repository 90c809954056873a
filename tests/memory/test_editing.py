from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobyard.edits import (
    Cancel,
    Change,
    Changed,
    ChangeOutcome,
    Declare,
    Move,
    Pause,
    Remove,
    Reschedule,
    Resume,
    Revive,
    RunNow,
    SetPayload,
    SetPriority,
    SetProgress,
)
from jobyard.job import FINISHED, JobState, Reason, Retain
from jobyard.lease import Cancelled, Done, Failed, Hold, Outcome, Retried, Settled, Stalled

if TYPE_CHECKING:
    from tests.memory.conftest import Bench

W, D, A = JobState.WAITING, JobState.DELAYED, JobState.ACTIVE
C, F, X = JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED
S, Z = JobState.STALLED, JobState.DEAD
REACHABLE = [W, D, A, C, F, X, S, Z]

FITS: list[tuple[Change, set[JobState]]] = [
    (RunNow(), {D}),
    (Reschedule(delay_ms=5), {W, D}),
    (SetPriority(5), {W, D}),
    (SetPayload(b"new"), {W, D, A}),
    (SetProgress(b"half"), {A}),
    (Revive(), {F, X, S, Z}),
    (Cancel(), {W, D}),
    (Cancel(running=True), {W, D, A}),
    (Remove(), {W, D} | FINISHED),
    (Move(to=W), {A} | FINISHED),
    (Move(to=C), {W, D, A, S}),
    (Move(to=F), {W, D, A, S}),
    (Move(to=S), {A}),
    (Move(to=D), set()),
    (Move(to=A), set()),
    (Move(to=Z), set()),
]

ENDS: dict[JobState, Outcome] = {
    C: Done(b"result"),
    F: Failed(Reason.EXHAUSTED, b"error"),
    X: Cancelled(),
    S: Stalled(b"error"),
    Z: Failed(Reason.EXHAUSTED, b"error"),
}


def put(bench: Bench, state: JobState) -> None:
    """Bring the job `job` into a state."""
    bench.add("job", delay_ms=5 if state is D else 0, dead_letter=state is Z)
    if state in {W, D}:
        return
    (lease,) = bench.claim()
    if state in ENDS:
        bench.settle(lease, ENDS[state])
    assert bench.state("job") is state


@pytest.mark.parametrize("state", REACHABLE)
@pytest.mark.parametrize(("wish", "fits"), FITS, ids=repr)
def test_a_change_fits_its_states_and_leaves_jobs_in_others_as_they_are(
    bench: Bench, wish: Change, fits: set[JobState], state: JobState
) -> None:
    put(bench, state)
    before = bench.record("job")
    answer = bench.change("job", wish)
    if state not in fits:
        assert answer == Changed(ChangeOutcome.WRONG_STATE, state)
        assert bench.record("job") == before
    elif isinstance(wish, Cancel) and state is A:
        assert answer == Changed(ChangeOutcome.ASKED, A)
        assert bench.record("job").cancel_asked
    else:
        assert answer.outcome is ChangeOutcome.OK
        assert answer.state is (state if isinstance(wish, Remove) else bench.state("job"))


def test_the_answers_are_in_the_order_asked(bench: Bench) -> None:
    bench.add("1", "2")
    answers = bench.engine.change(["2", "none", "1", "1"], Remove(), now=bench.now)
    assert [answer.outcome for answer in answers] == ["ok", "not_found", "ok", "not_found"]


def test_run_now_makes_a_delayed_job_due_now(bench: Bench) -> None:
    bench.add("job", delay_ms=1_000)
    bench.now += 10
    bench.change("job", RunNow())
    assert (bench.state("job"), bench.record("job").due_at) == (W, bench.now)


@pytest.mark.parametrize(
    ("wish", "state", "due"),
    [
        (Reschedule(delay_ms=30), D, 30),
        (Reschedule(delay_ms=0), W, 0),
        (Reschedule(run_at=1_000_031), D, 21),
        (Reschedule(run_at=1_000_010), W, 0),
        (Reschedule(run_at=5), W, 0),
    ],
)
@pytest.mark.parametrize("delay_ms", [0, 500])
def test_a_job_is_rescheduled_to_then_or_now(
    bench: Bench, delay_ms: int, wish: Change, state: JobState, due: int
) -> None:
    bench.add("job", delay_ms=delay_ms)
    bench.now += 10
    bench.change("job", wish)
    assert (bench.state("job"), bench.record("job").due_at) == (state, bench.now + due)


def test_a_new_priority_moves_a_job_and_keeps_its_due_and_number(bench: Bench) -> None:
    bench.add("1", "2", "3")
    bench.add("4", delay_ms=1)
    bench.now += 1
    bench.change("2", SetPriority(10))
    bench.change("4", SetPriority(20))
    bench.change("1", SetPriority(-1))
    assert bench.given() == ["4", "2", "3", "1"]


def test_a_new_payload_is_seen_by_the_next_claim(bench: Bench) -> None:
    bench.add("job", payload=b"old")
    (lease,) = bench.claim()
    bench.change("job", SetPayload(b"new"))
    assert lease.payload == b"old"
    bench.settle(lease, Retried(0))
    assert bench.claim()[0].payload == b"new"


@pytest.mark.parametrize(("reset", "failures"), [(False, 1), (True, 0)])
def test_a_revived_job_waits_with_an_attempt_left_and_its_end_forgotten(
    bench: Bench, reset: bool, failures: int
) -> None:
    bench.add("job", attempts=2, max_crashes=5)
    for _ in range(2):
        bench.claim()
        bench.now += 1_000
        bench.reap()
    bench.settle(bench.claim()[0], Retried(0))
    bench.settle(bench.claim()[0], Failed(Reason.EXHAUSTED, b"error"))
    bench.now += 5
    bench.change("job", Revive(reset=reset))
    record = bench.record("job")
    assert (record.state, record.due_at) == (W, bench.now)
    assert (record.failures, record.crashes) == (failures, 0)
    assert (record.result, record.error, record.reason, record.finished_at) == (None,) * 4


def test_a_revived_job_still_has_its_time_to_live(bench: Bench) -> None:
    bench.run("job", Failed(Reason.EXHAUSTED), ttl_ms=10)
    bench.change("job", Revive())
    bench.now += 10
    assert [reaped.reason for reaped in bench.reap()] == [Reason.EXPIRED]


def test_a_cancelled_job_applies_its_keep_rule(bench: Bench) -> None:
    bench.add("job", keep_failed=Retain(count=0))
    assert bench.change("job", Cancel()) == Changed(ChangeOutcome.OK, X)
    assert bench.state("job") is None


def test_removing_leaves_no_trace(bench: Bench) -> None:
    bench.run("job", Done(), ttl_ms=5)
    bench.change("job", Remove())
    yard = bench.engine.yard
    assert (yard.cards, yard.lines, yard.expiries) == ({}, {}, {})
    assert bench.queue().counts.total == 0
    assert bench.add("job")[0].outcome == "created"


@pytest.mark.parametrize("to", [W, C, F, S])
def test_a_lease_ended_by_a_move_is_lost(bench: Bench, to: JobState) -> None:
    bench.add("job")
    (lease,) = bench.claim()
    bench.now += 5
    bench.change("job", Move(to=to, result=b"r", error=b"e"))
    assert bench.settle(lease, Done()) is Settled.LOST
    assert bench.engine.extend([lease], ttl_ms=5, now=bench.now) == (Hold.LOST,)
    record = bench.record("job")
    assert record.state is to
    assert record.result == (b"r" if to is C else None)
    assert record.error == (b"e" if to in {F, S} else None)
    assert record.reason is (Reason.ADMIN if to is F else None)
    assert record.due_at == (bench.now if to is W else bench.now - 5)


def test_a_queue_is_paused_and_resumed_once(bench: Bench) -> None:
    cursor = bench.subscribe()
    for wish in (Resume(), Pause(), Pause(), Declare(), Resume(), Resume()):
        bench.control(wish)
    assert bench.told(cursor) == [("paused", None), ("resumed", None)]
    assert not bench.queue().paused


def test_a_control_makes_the_queue_known(bench: Bench) -> None:
    bench.control(Declare(), "new")
    assert [info.name for info in bench.engine.queues()] == ["new"]
    assert bench.engine.queues(["new", "none", "new"]) == bench.engine.queues()
