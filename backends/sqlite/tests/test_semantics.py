"""Where this store's own mechanics could part from the contract."""

from __future__ import annotations

from pathlib import Path

from backends.sqlite.tests.handles import at, spec, want

from jobyard.clock import ManualClock
from jobyard.edits import Cancel, Move, Obliterate, Revive
from jobyard.job import JobState, Reason, Retain
from jobyard.lease import Done, Failed, Hold, Released, Settled, Settlement, Source
from jobyard_sqlite.backend import SqliteBackend
from jobyard_sqlite.claim import FORGET_EVERY, SPENT_KEPT


async def lease_rows(backend: SqliteBackend) -> int:
    ((count,),) = await backend._opened().inquire(
        lambda cursor: cursor.execute("SELECT count(*) FROM jobyard_lease").fetchall()
    )
    return int(count)


async def test_leases_that_hold_nothing_are_forgotten_in_time(backend: SqliteBackend) -> None:
    claims = SPENT_KEPT + 3 * FORGET_EVERY
    await backend.add([tuple(spec() for _ in range(claims))])
    ended: list[Settlement] = []
    for _ in range(claims):
        answer = await backend.settle(ended, claim=want(1))
        assert answer.claimed is not None
        ended = [Settlement(lease, Done()) for lease in answer.claimed.leases]
    await backend.settle(ended)
    assert await lease_rows(backend) <= SPENT_KEPT + FORGET_EVERY


async def test_more_lanes_than_a_select_has_terms_merge_in_order(backend: SqliteBackend) -> None:
    jobs = [spec(name=f"n{n}", priority=n % 7) for n in range(900)]
    await backend.add([tuple(jobs)])
    names = tuple(f"n{n}" for n in range(899))
    sources = (Source(queue="emails", names=names),)
    claimed = await backend.claim(want(1_000, sources=sources))
    expected = sorted(jobs[:899], key=lambda job: -job.priority)
    assert [lease.job_id for lease in claimed.leases] == [job.id for job in expected]


async def test_a_limit_holds_over_more_lanes_than_a_select_has_terms(
    backend: SqliteBackend,
) -> None:
    await backend.add([tuple(spec(name=f"n{n}") for n in range(900))])
    await backend.add([(spec("last", queue="other"),)])
    names = tuple(f"n{n}" for n in range(899))
    sources = (Source(queue="emails", names=names, limit=5), Source(queue="other"))
    leases = (await backend.claim(want(100, sources=sources))).leases
    assert [lease.queue for lease in leases] == ["emails"] * 5 + ["other"]


async def test_a_cancellation_asked_for_outlives_the_lease(backend: SqliteBackend) -> None:
    await backend.add([(spec("a", attempts=3),)])
    (lease,) = (await backend.claim(want())).leases
    await backend.change(["a"], Cancel(running=True))
    await backend.settle([Settlement(lease, Released())])
    (lease,) = (await backend.claim(want())).leases
    assert await backend.extend([lease], ttl_ms=1_000) == (Hold.CANCELLED,)
    await backend.settle([Settlement(lease, Failed(Reason.REFUSED))])
    await backend.change(["a"], Revive())
    (lease,) = (await backend.claim(want())).leases
    assert await backend.extend([lease], ttl_ms=1_000) == (Hold.HELD,)


async def test_a_revived_jobs_time_to_live_starts_anew(path: Path) -> None:
    clock = ManualClock()
    backend = at(path, clock=clock)
    await backend.open()
    await backend.prepare()
    await backend.add([(spec("a", ttl_ms=1_000),)])
    clock.advance(ms=1_000)
    assert (await backend.claim(want())).leases == ()
    (reaped,) = await backend.reap(limit=10)
    assert (reaped.state, reaped.reason) == (JobState.FAILED, Reason.EXPIRED)
    await backend.change(["a"], Move(to=JobState.WAITING))
    clock.advance(ms=999)
    assert await backend.reap(limit=10) == ()
    (lease,) = (await backend.claim(want())).leases
    clock.advance(ms=1)
    (reaped,) = await backend.reap(limit=10)
    assert (reaped.fence, reaped.worker) == (lease.fence, "worker")
    await backend.close()


async def test_a_queue_being_obliterated_gives_nothing(backend: SqliteBackend) -> None:
    await backend.add([tuple(spec() for _ in range(10))])
    wish = Obliterate(queue="emails")
    assert (await backend.sweep(wish, limit=4)).more
    assert (await backend.claim(want())).leases == ()
    while (await backend.sweep(wish, limit=4)).more:
        pass
    assert await backend.queues() == ()
    await backend.add([(spec("a"),)])
    assert [lease.job_id for lease in (await backend.claim(want())).leases] == ["a"]


async def test_a_keep_rule_counts_what_is_there(backend: SqliteBackend) -> None:
    keep = Retain(count=3)
    await backend.add([tuple(spec(f"j{n}", keep_completed=keep) for n in range(10))])
    leases = (await backend.claim(want())).leases
    await backend.settle([Settlement(lease, Done()) for lease in leases])
    kept = await backend.get([f"j{n}" for n in range(10)])
    assert [job is not None for job in kept] == [False] * 7 + [True] * 3
    assert (await backend.queues())[0].counts.completed == 3


async def test_runs_of_many_kinds_settle_in_one_call(backend: SqliteBackend) -> None:
    drop = Retain(count=0)
    await backend.add(
        [
            (
                spec("plain"),
                spec("dropped", keep_completed=drop),
                spec("kept", keep_completed=Retain(count=5)),
                spec("failing", dead_letter=True),
            )
        ]
    )
    leases = (await backend.claim(want())).leases
    ends = [Settlement(lease, Done(b"1")) for lease in leases[:3]]
    ends += [Settlement(leases[3], Failed(Reason.EXHAUSTED, b"e")), ends[0], ends[1]]
    answer = await backend.settle(ends)
    assert answer.results == (*[Settled.OK] * 4, Settled.ALREADY, Settled.GONE)
    states = [job and job.state for job in await backend.get([lease.job_id for lease in leases])]
    assert states == ["completed", None, "completed", "dead"]
    total = (await backend.metrics("emails", since=0, until=1)).total
    assert (total.completed, total.failed, total.peak) == (3, 1, 4)
