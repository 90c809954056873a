"""Looking at jobs and queues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from jobyard.edits import Cancel, Change, Drain, Pause, Remove, Reschedule, Revive, RunNow
from jobyard.job import JobRecord, JobState, Reason
from jobyard.lease import Done, Failed, Outcome, Released, Retried
from jobyard.query import Counts, JobQuery
from jobyard_conformance.builders import QUEUE, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.chapters.states import REACHABLE, bring_each
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard


class Looking(Chapter):
    """What `get`, `find` and `queues` show."""

    chapter = "looking"

    @clause("GET-1")
    async def test_records_are_in_the_order_asked(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c")])
        await yard.finish(spec("z", queue="other"), Done())
        asked = ["z", "c", "unknown", "a", "c", "A"]
        shown = [record and record.id for record in await yard.backend.get(asked)]
        assert shown == ["z", "c", None, "a", "c", None]
        assert list(await yard.backend.get([])) == []

    @clause("GET-2")
    async def test_a_record_follows_its_job(self, yard: Yard) -> None:
        await yard.add(spec("a", attempts=3, delay_ms=5))
        born = yard.now
        yard.pass_ms(10)
        lease = await yard.claim_one(want(worker="w1", ttl_ms=700))
        active = await yard.job("a")
        assert (active.state, active.due_at, active.started_at) == ("active", born + 5, born + 10)
        assert (active.lease_until, active.worker) == (born + 710, "w1")
        assert active.finished_at is None
        yard.pass_ms(10)
        await yard.settle(lease, Retried(100, b"e1"))
        delayed = await yard.job("a")
        assert (delayed.state, delayed.due_at, delayed.error) == ("delayed", born + 120, b"e1")
        assert (delayed.failures, delayed.lease_until, delayed.worker) == (1, None, "w1")
        assert (delayed.started_at, delayed.finished_at) == (born + 10, None)
        yard.pass_ms(100)
        lease = await yard.claim_one(want(worker="w2"))
        yard.pass_ms(3)
        await yard.settle(lease, Done(b"out"))
        done = await yard.job("a")
        assert (done.state, done.result, done.reason) == ("completed", b"out", None)
        assert (done.created_at, done.started_at, done.finished_at) == (
            born,
            born + 120,
            born + 123,
        )
        assert (done.worker, done.fence, done.failures) == ("w2", lease.fence, 1)
        assert not done.cancel_asked

    @clause("GET-2")
    async def test_a_record_shows_every_state(self, yard: Yard) -> None:
        jobs = await bring_each(yard, QUEUE)
        assert {state: (await yard.job(job)).state for state, job in jobs.items()} == {
            state: state for state in REACHABLE
        }

    @clause("GET-2")
    async def test_a_listed_record_is_the_record(self, yard: Yard) -> None:
        jobs = await bring_each(yard, QUEUE)
        listed = {each.id: each for each in await yard.listed(JobQuery())}
        assert listed == {job: await yard.job(job) for job in jobs.values()}

    @clause("FIND-1")
    async def test_every_filter_has_to_pass(self, yard: Yard) -> None:
        start = yard.now
        for n in range(12):
            queue, name = ("q", "x") if n % 2 else ("r", "y")
            await yard.add(spec(f"j{n}", queue=queue, name=name, delay_ms=0 if n % 3 else 9_999))
            yard.pass_ms(10)
        waiting = frozenset({JobState.WAITING})
        assert await _ids(yard, JobQuery(queue="q")) == [f"j{n}" for n in (1, 3, 5, 7, 9, 11)]
        assert await _ids(yard, JobQuery(states=waiting)) == [f"j{n}" for n in range(12) if n % 3]
        assert await _ids(yard, JobQuery(names=frozenset({"y"}))) == [
            f"j{n}" for n in range(0, 12, 2)
        ]
        assert await _ids(yard, JobQuery(names=frozenset({"x", "y"}))) == [
            f"j{n}" for n in range(12)
        ]
        span = JobQuery(created_from=start + 20, created_until=start + 40)
        assert await _ids(yard, span) == ["j2", "j3"]
        everything = JobQuery(
            queue="q",
            states=waiting,
            names=frozenset({"x"}),
            created_from=start + 10,
            created_until=start + 110,
        )
        assert await _ids(yard, everything) == ["j1", "j5", "j7"]
        assert await _ids(yard, JobQuery(queue="unknown")) == []
        assert await _ids(yard, JobQuery(states=frozenset())) == []

    @clause("FIND-1")
    async def test_states_are_filtered_apart(self, yard: Yard) -> None:
        jobs = await bring_each(yard, QUEUE)
        for state, job in jobs.items():
            assert await _ids(yard, JobQuery(states=frozenset({state}))) == [job]
        pair = frozenset({JobState.DEAD, JobState.ACTIVE})
        expected = [jobs[JobState.ACTIVE], jobs[JobState.DEAD]]
        assert await _ids(yard, JobQuery(states=pair)) == expected

    @clause("FIND-1")
    async def test_the_order_is_of_insertion_or_against_it(self, yard: Yard) -> None:
        order = ["c", "a", "d", "b"]
        await yard.add(*(spec(each, priority=n, delay_ms=n % 2) for n, each in enumerate(order)))
        await yard.claim(want(limit=1))
        assert await _ids(yard, JobQuery()) == order
        assert await _ids(yard, JobQuery(newest_first=True)) == order[::-1]
        page = await yard.backend.find(JobQuery(limit=3, newest_first=True))
        shown = [each.id for each in page.items]
        assert shown == order[::-1][: len(shown)]
        assert len(shown) <= 3
        assert page.next is not None

    @clause("FIND-2")
    @pytest.mark.parametrize("newest_first", [False, True])
    @pytest.mark.parametrize("limit", [1, 4, 10, 30])
    async def test_pages_show_each_job_once(
        self, yard: Yard, limit: int, *, newest_first: bool
    ) -> None:
        names = [f"j{n:02}" for n in range(30)]
        await yard.backend.add([tuple(spec(each, priority=int(each[1:]) % 7) for each in names)])
        found = await _all(yard, JobQuery(limit=limit, newest_first=newest_first))
        assert found == (names[::-1] if newest_first else names)

    @clause("FIND-2")
    async def test_pages_of_mixed_states_and_queues_are_whole(self, yard: Yard) -> None:
        expected: list[str] = []
        for queue in ("a", "b", "c"):
            expected += (await bring_each(yard, queue)).values()
        assert await _all(yard, JobQuery(limit=5)) == expected
        some = frozenset({JobState.COMPLETED, JobState.WAITING, JobState.DELAYED})
        told = await _all(yard, JobQuery(limit=2, states=some))
        assert told == [each for each in expected if each.partition("-")[2] in some]

    @clause("FIND-2")
    @pytest.mark.parametrize("newest_first", [False, True])
    async def test_pages_stand_while_the_yard_moves(
        self, yard: Yard, *, newest_first: bool
    ) -> None:
        await yard.backend.add([tuple(spec(f"j{n:02}") for n in range(60))])

        outcomes: list[Outcome] = [Done(), Retried(5), Failed(Reason.ADMIN)]

        async def stir(turn: int) -> None:
            await yard.add(spec(f"new{turn}", priority=turn % 3))
            await yard.change(f"j{turn * 3:02}", Remove())
            await yard.change(f"j{59 - turn * 3:02}", Remove())
            for lease in await yard.claim(want(limit=2)):
                await yard.settle(lease, outcomes[turn % 3])
            yard.pass_ms(3)

        query = JobQuery(limit=7, newest_first=newest_first)
        found = await _all(yard, query, between=stir)
        throughout = {f"j{n:02}" for n in range(60) if await yard.find(f"j{n:02}") is not None}
        assert len(throughout) > 30
        seen = [each for each in found if each in throughout]
        assert seen == sorted(throughout, reverse=newest_first)

    @clause("FIND-2")
    async def test_a_filtered_listing_stands_while_jobs_leave_it(self, yard: Yard) -> None:
        await yard.backend.add([tuple(spec(f"j{n:02}") for n in range(40))])

        async def take(_turn: int) -> None:
            await yard.claim(want(limit=3))

        query = JobQuery(limit=5, states=frozenset({JobState.WAITING}))
        found = await _all(yard, query, between=take)
        left = await _ids(yard, JobQuery(states=frozenset({JobState.WAITING})))
        assert [each for each in found if each in set(left)] == left

    @clause("QUEUES-1")
    async def test_counts_are_of_the_jobs_there_are(self, yard: Yard) -> None:
        await bring_each(yard, "q")
        await yard.backend.control("a", Pause())
        other = await yard.another()
        await other.add([specs("x", "y", queue="q")])
        paused, busy = await other.queues()
        assert [paused.name, busy.name] == ["a", "q"]
        assert (paused.paused, busy.paused) == (True, False)
        assert paused.counts == Counts()
        assert busy.counts == Counts(
            waiting=3, delayed=1, active=1, completed=1, failed=1, cancelled=1, stalled=1, dead=1
        )

    @clause("QUEUES-1")
    async def test_the_counts_follow_every_move(self, yard: Yard) -> None:
        """Through claims, ends, crashes, edits and sweeps, each checked against what is listed."""

        async def agree() -> None:
            states = Counter(each.state.value for each in await yard.listed())
            assert (await yard.info()).counts == Counts(**states)

        await yard.add(*specs("a", "b", "c", "d", "e", "f", max_crashes=2), spec("z", delay_ms=10))
        await agree()
        leases = await yard.claim(want(limit=5, ttl_ms=100))
        await agree()
        ends: list[Outcome] = [Done(), Retried(5), Released()]
        for lease, end in zip(leases, ends, strict=False):
            await yard.settle(lease, end)
            await agree()
        for _ in range(2):
            yard.pass_ms(101)
            await yard.backend.reap(limit=10)
            await agree()
            await yard.claim(want(limit=9, ttl_ms=100))
            await agree()
        yard.pass_ms(101)
        await yard.backend.reap(limit=10)
        await agree()
        edits: list[Change] = [Reschedule(delay_ms=9), RunNow(), Cancel(), Revive(), Remove()]
        for edit in edits:
            await yard.backend.change(list("abcdefz"), edit)
            await agree()
        await yard.sweep_all(Drain(queue=QUEUE, delayed=True))
        await agree()

    @clause("QUEUES-1")
    async def test_the_earliest_waiting_due_is_shown(self, yard: Yard) -> None:
        start = yard.now
        await yard.add(spec("a"), spec("later", delay_ms=5))
        yard.pass_ms(10)
        await yard.add(spec("b", priority=100))
        assert (await yard.info()).oldest_due == start
        assert await yard.claimed_ids(want(limit=2)) == ["b", "a"]
        assert (await yard.info()).oldest_due == start + 5
        await yard.claim()
        assert (await yard.info()).oldest_due is None

    @clause("QUEUES-2")
    async def test_an_unknown_queue_is_left_out(self, yard: Yard) -> None:
        await yard.add(spec(queue="b"), spec(queue="a"), spec(queue="c"))
        shown = await yard.backend.queues(["c", "unknown", "a"])
        assert [info.name for info in shown] == ["a", "c"]
        assert list(await yard.backend.queues([])) == []
        assert [info.name for info in await yard.backend.queues()] == ["a", "b", "c"]


async def _ids(yard: Yard, query: JobQuery) -> list[str]:
    return [record.id for record in await yard.listed(query)]


async def _all(
    yard: Yard, query: JobQuery, *, between: Callable[[int], Awaitable[None]] | None = None
) -> list[str]:
    found: list[JobRecord] = []
    after: str | None = None
    for turn in range(200):
        page = await yard.backend.find(
            JobQuery(
                limit=query.limit,
                states=query.states,
                newest_first=query.newest_first,
                after=after,
            )
        )
        assert len(page.items) <= query.limit
        found += page.items
        if (after := page.next) is None:
            return [each.id for each in found]
        if between is not None and turn < 9:
            await between(turn)
    msg = "the listing never came to its end"
    raise AssertionError(msg)
