from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobyard.edits import Remove, Revive
from jobyard.job import JobState, Reason, Retain
from jobyard.lease import (
    Cancelled,
    Done,
    Failed,
    Outcome,
    Released,
    Retried,
    Settled,
    Settlement,
    Snoozed,
    Stalled,
)

if TYPE_CHECKING:
    from tests.memory.conftest import Bench

OUTCOMES: list[tuple[Outcome, JobState, int]] = [
    (Done(b"r"), JobState.COMPLETED, 0),
    (Retried(0, b"e"), JobState.WAITING, 1),
    (Retried(5, b"e"), JobState.DELAYED, 1),
    (Failed(Reason.EXHAUSTED, b"e"), JobState.FAILED, 1),
    (Failed(Reason.REFUSED, b"e"), JobState.FAILED, 1),
    (Failed(Reason.ORPHANED, b"e"), JobState.FAILED, 0),
    (Failed(Reason.CORRUPT, b"e"), JobState.FAILED, 0),
    (Snoozed(0), JobState.WAITING, 0),
    (Snoozed(5), JobState.DELAYED, 0),
    (Released(), JobState.WAITING, 0),
    (Cancelled(), JobState.CANCELLED, 0),
    (Stalled(b"e"), JobState.STALLED, 1),
]


@pytest.mark.parametrize(("outcome", "state", "failures"), OUTCOMES)
def test_an_outcome_leads_to_its_state(
    bench: Bench, outcome: Outcome, state: JobState, failures: int
) -> None:
    bench.run("job", outcome)
    record = bench.record("job")
    assert (record.state, record.failures, record.crashes) == (state, failures, 0)
    assert (record.finished_at is not None) == state.is_finished
    assert record.error == getattr(outcome, "error", None)
    assert record.result == getattr(outcome, "result", None)
    assert record.reason == getattr(outcome, "reason", None)
    assert (record.lease_until, record.worker) == (None, "w")


@pytest.mark.parametrize("outcome", [Retried(7), Snoozed(7)])
def test_a_job_sent_off_is_due_when_told_and_not_before(bench: Bench, outcome: Outcome) -> None:
    bench.run("job", outcome)
    assert bench.record("job").due_at == bench.now + 7
    bench.now += 6
    assert bench.given() == []
    bench.now += 1
    assert bench.given() == ["job"]


@pytest.mark.parametrize("outcome", [Retried(0), Snoozed(0)])
def test_a_job_sent_off_for_no_time_is_due_now(bench: Bench, outcome: Outcome) -> None:
    bench.add("job")
    (lease,) = bench.claim()
    bench.now += 50
    bench.settle(lease, outcome)
    assert bench.record("job").due_at == bench.now


def test_a_released_job_has_the_due_and_number_it_had(bench: Bench) -> None:
    bench.add("1", "2")
    lease, _other = bench.claim()
    before = bench.record("1")
    bench.now += 50
    bench.settle(lease, Released())
    bench.add("3")
    after = bench.record("1")
    assert (after.due_at, after.no) == (before.due_at, before.no)
    assert bench.given() == ["1", "3"]


def test_a_dead_letter_ends_dead(bench: Bench) -> None:
    bench.run("job", Failed(Reason.EXHAUSTED), dead_letter=True)
    assert bench.record("job").state is JobState.DEAD


def test_a_repeated_settlement_is_already_there_with_another_outcome_too(bench: Bench) -> None:
    lease = bench.run("job", Retried(5))
    before = bench.record("job")
    assert bench.settle(lease, Retried(5)) is Settled.ALREADY
    assert bench.settle(lease, Done(b"late")) is Settled.ALREADY
    assert bench.record("job") == before


def test_a_settlement_is_lost_once_the_job_is_claimed_again(bench: Bench) -> None:
    lease = bench.run("job", Retried(0))
    (other,) = bench.claim()
    assert bench.settle(lease, Done()) is Settled.LOST
    assert bench.settle(other, Done()) is Settled.OK
    assert bench.settle(lease, Done()) is Settled.LOST


def test_already_holds_through_a_revival(bench: Bench) -> None:
    lease = bench.run("job", Failed(Reason.EXHAUSTED))
    bench.change("job", Revive())
    assert bench.settle(lease, Done()) is Settled.ALREADY


def test_a_settlement_of_a_job_that_is_gone_says_so(bench: Bench) -> None:
    lease = bench.run("job", Done(), keep_completed=Retain(count=0))
    assert bench.settle(lease, Done()) is Settled.GONE
    other = bench.run("other", Done())
    bench.change("other", Remove())
    assert bench.settle(other, Done()) is Settled.GONE


def test_an_expired_lease_settles_until_it_is_reaped(bench: Bench) -> None:
    bench.add("1", "2")
    one, two = bench.claim()
    bench.now = one.until
    assert bench.settle(one, Done()) is Settled.OK
    bench.reap()
    assert bench.settle(two, Done()) is Settled.LOST


def test_each_settlement_stands_on_its_own(bench: Bench) -> None:
    gone = bench.run("gone", Done(), keep_completed=Retain(count=0))
    bench.add("1", "2")
    one, two = bench.claim()
    settlements = [Settlement(each, Done()) for each in (gone, one, one, two)]
    results = bench.engine.settle(settlements, now=bench.now).results
    assert results == (Settled.GONE, Settled.OK, Settled.ALREADY, Settled.OK)


def test_what_a_settle_made_waiting_can_be_claimed_by_it(bench: Bench) -> None:
    bench.add("job")
    (lease,) = bench.claim()
    settling = bench.engine.settle(
        [Settlement(lease, Retried(0))], now=bench.now, claim=bench.want()
    )
    assert settling.claimed is not None
    assert [each.failures for each in settling.claimed.leases] == [1]


def test_a_keep_rule_keeps_the_newest_of_the_queue_in_that_state(bench: Bench) -> None:
    for no in range(5):
        bench.run(f"plain-{no}", Done())
        bench.now += 1
    bench.run("failed", Failed(Reason.EXHAUSTED))
    bench.run("ruled", Done(), keep_completed=Retain(count=2))
    assert bench.states("plain-3", "plain-4", "ruled", "failed") == [
        None,
        JobState.COMPLETED,
        JobState.COMPLETED,
        JobState.FAILED,
    ]


def test_of_jobs_finished_at_the_same_instant_the_later_numbers_are_newer(bench: Bench) -> None:
    bench.add("1", "2", "3", keep_completed=Retain(count=2))
    settlements = [Settlement(lease, Done()) for lease in reversed(bench.claim())]
    assert set(bench.engine.settle(settlements, now=bench.now).results) == {Settled.OK}
    assert bench.states("1", "2", "3") == [None, JobState.COMPLETED, JobState.COMPLETED]


@pytest.mark.parametrize("outcome", [Failed(Reason.EXHAUSTED), Cancelled()])
def test_a_job_that_asks_for_no_record_leaves_none(bench: Bench, outcome: Outcome) -> None:
    bench.run("job", outcome, keep_failed=Retain(count=0))
    assert bench.state("job") is None


def test_a_stalled_job_stays_whatever_its_keep_rule(bench: Bench) -> None:
    bench.run("job", Stalled(), keep_failed=Retain(count=0), keep_completed=Retain(count=0))
    assert bench.state("job") is JobState.STALLED
