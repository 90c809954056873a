from __future__ import annotations

from typing import TYPE_CHECKING

from jobyard.edits import Cancel
from jobyard.job import JobState, Reason
from jobyard.lease import Done, Hold, LogLine, Note, Progress, Reaped, Released, Settled, Settlement

if TYPE_CHECKING:
    from tests.memory.conftest import Bench


def test_an_extended_lease_lasts_and_its_neighbours_do_not(bench: Bench) -> None:
    bench.add("1", "2")
    one, _two = bench.claim()
    assert bench.engine.extend([one], ttl_ms=5_000, now=bench.now) == (Hold.HELD,)
    bench.now += 1_000
    assert [each.job_id for each in bench.reap()] == ["2"]
    bench.now += 3_999
    assert bench.reap() == ()
    bench.now += 1
    assert [each.job_id for each in bench.reap()] == ["1"]


def test_extending_never_makes_a_lease_shorter(bench: Bench) -> None:
    bench.add("job")
    (lease,) = bench.claim(ttl_ms=1_000)
    bench.engine.extend([lease], ttl_ms=1, now=bench.now)
    assert bench.record("job").lease_until == lease.until


def test_an_expired_lease_is_extended_until_it_is_reaped(bench: Bench) -> None:
    bench.add("job")
    (lease,) = bench.claim()
    bench.now = lease.until + 10
    assert bench.engine.extend([lease], ttl_ms=5, now=bench.now) == (Hold.HELD,)
    assert bench.reap() == ()
    bench.now += 5
    assert len(bench.reap()) == 1
    assert bench.engine.extend([lease], ttl_ms=5, now=bench.now) == (Hold.LOST,)


def test_a_holder_learns_of_a_cancellation_and_keeps_the_lease(bench: Bench) -> None:
    bench.add("job")
    (lease,) = bench.claim()
    bench.change("job", Cancel(running=True))
    assert bench.engine.extend([lease], ttl_ms=9_000, now=bench.now) == (Hold.CANCELLED,)
    assert bench.record("job").lease_until == bench.now + 9_000
    assert bench.engine.report([Progress(lease, b"p")], now=bench.now) == (Hold.CANCELLED,)


def test_a_cancellation_asked_for_outlives_a_release(bench: Bench) -> None:
    bench.add("job")
    (lease,) = bench.claim()
    bench.change("job", Cancel(running=True))
    bench.settle(lease, Released())
    (again,) = bench.claim()
    assert bench.engine.extend([again], ttl_ms=1, now=bench.now) == (Hold.CANCELLED,)


def test_notes_are_written_by_the_holder_alone(bench: Bench) -> None:
    bench.add("job")
    (lease,) = bench.claim()
    notes: list[Note] = [
        Progress(lease, b"1"),
        *(LogLine(lease, str(no), keep=3) for no in range(5)),
    ]
    assert bench.engine.report(notes, now=bench.now) == (Hold.HELD,) * 6
    bench.settle(lease, Done())
    late: list[Note] = [Progress(lease, b"2"), LogLine(lease, "late")]
    assert bench.engine.report(late, now=bench.now) == (Hold.LOST, Hold.LOST)
    assert bench.record("job").progress == b"1"
    page = bench.engine.logs("job", after=1, limit=1)
    assert (page.items, page.next) == (("3",), "2")
    assert bench.engine.logs("job").items == ("2", "3", "4")
    assert bench.engine.logs("job", after=3).items == ()
    assert bench.engine.logs("nobody").items == ()


def test_a_reaped_job_waits_as_before_with_one_crash(bench: Bench) -> None:
    bench.add("1", "2")
    bench.claim(limit=1)
    bench.now += 1_000
    assert bench.reap() == (
        Reaped(
            job_id="1", queue="q", name="", fence=1, crashes=1, state=JobState.WAITING, worker="w"
        ),
    )
    record = bench.record("1")
    assert (record.crashes, record.failures, record.due_at) == (1, 0, 1_000_000)
    assert bench.given() == ["1", "2"]


def test_a_lease_ends_at_its_instant_and_not_before(bench: Bench) -> None:
    bench.add("job")
    (lease,) = bench.claim()
    bench.now = lease.until - 1
    assert bench.reap() == ()
    bench.now += 1
    assert len(bench.reap()) == 1


def test_a_job_that_crashes_too_often_ends(bench: Bench) -> None:
    bench.add("failed", "dead", max_crashes=2)
    bench.engine.yard.cards["dead"].dead_letter = True
    bench.claim()
    bench.now += 1_000
    assert {each.state for each in bench.reap()} == {JobState.WAITING}
    bench.claim()
    bench.now += 1_000
    assert {(each.job_id, each.state, each.reason) for each in bench.reap()} == {
        ("failed", JobState.FAILED, Reason.CRASH_LOOP),
        ("dead", JobState.DEAD, Reason.CRASH_LOOP),
    }


def test_a_reaper_takes_no_more_than_its_limit_and_each_job_once(bench: Bench) -> None:
    bench.add(*map(str, range(10)))
    bench.claim()
    bench.now += 1_000
    seen: list[str] = []
    while found := bench.reap(limit=4):
        assert len(found) <= 4
        seen += [each.job_id for each in found]
    assert sorted(seen) == sorted(map(str, range(10)))
    assert bench.reap(limit=0) == ()


def test_jobs_past_their_time_to_live_end_wherever_they_are(bench: Bench) -> None:
    bench.add("waiting", "active", "done", ttl_ms=10)
    bench.add("delayed", ttl_ms=10, delay_ms=100)
    bench.add("dead", ttl_ms=10, delay_ms=100, dead_letter=True)
    leases = {lease.job_id: lease for lease in bench.claim()}
    bench.settle(leases["done"], Done())
    bench.settle(leases["waiting"], Released())
    bench.now += 9
    assert bench.reap() == ()
    bench.now += 1
    reaped = {each.job_id: (each.state, each.reason, each.worker) for each in bench.reap()}
    assert reaped == {
        "waiting": (JobState.FAILED, Reason.EXPIRED, None),
        "active": (JobState.FAILED, Reason.EXPIRED, "w"),
        "delayed": (JobState.FAILED, Reason.EXPIRED, None),
        "dead": (JobState.DEAD, Reason.EXPIRED, None),
    }
    assert bench.settle(leases["active"], Done()) is Settled.LOST
    assert bench.state("done") is JobState.COMPLETED


def test_a_time_to_live_that_ran_out_comes_before_a_crash(bench: Bench) -> None:
    bench.add("job", ttl_ms=10)
    bench.claim(ttl_ms=10)
    bench.now += 10
    (reaped,) = bench.reap()
    assert (reaped.reason, reaped.crashes) == (Reason.EXPIRED, 0)


def test_a_job_asked_to_cancel_ends_cancelled_when_its_lease_expires(bench: Bench) -> None:
    bench.add("job", max_crashes=1)
    bench.claim()
    bench.change("job", Cancel(running=True))
    bench.now += 1_000
    (reaped,) = bench.reap()
    assert (reaped.state, reaped.reason, reaped.crashes) == (JobState.CANCELLED, None, 1)


def test_a_lease_that_holds_nothing_leaves_nothing_behind(bench: Bench) -> None:
    for no in range(1_000):
        bench.add(str(no))
        (lease,) = bench.claim()
        bench.engine.settle([Settlement(lease, Done())], now=bench.now)
    assert bench.engine.yard.holdings == {}
    assert bench.engine.yard.leases.live == 0
    assert len(bench.engine.yard.leases.row) < 100
