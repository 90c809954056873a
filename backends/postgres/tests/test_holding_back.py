"""What two sessions do to each other's groups, keys and dependencies; and many, to all of them.

The first session's step is run and not yet committed; the second is begun, and seen to wait for it
by the server's own word; then the first commits.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
import pytest
from psycopg import AsyncConnection

from jobyard.edits import Cancel, Change, Remove, Retention, Revive, SetPriority
from jobyard.job import (
    Added,
    AddOutcome,
    Dedup,
    DedupMode,
    Dependency,
    Group,
    JobSpec,
    JobState,
    RateKey,
    Reason,
)
from jobyard.lease import Done, Failed, Lease, Outcome, Released, Retried, Settled
from jobyard.url import BackendUrl
from jobyard_conformance.builders import QUEUE, settlement, spec, want
from jobyard_postgres.backend import PostgresBackend

pytestmark = pytest.mark.anyio

T = TypeVar("T")

PATIENCE = 100.0
"""Seconds that a session may take to come to the lock that it has to wait for."""


class Yard:
    """A namespace with handles on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.namespace = f"h_{secrets.token_hex(6)}"
        self.handles: list[PostgresBackend] = []

    async def open(self) -> PostgresBackend:
        handle = PostgresBackend(BackendUrl.parse(self.url), namespace=self.namespace)
        self.handles.append(handle)
        await handle.open()
        return handle

    async def close(self) -> None:
        for handle in self.handles:
            await handle.close()

    async def look(self, sql: str) -> list[Any]:
        """Read the tables of the namespace, in a session of its own."""
        async with await AsyncConnection.connect(self.url) as connection:
            cursor = await connection.execute(sql.replace("{ns}", self.namespace).encode())
            return await cursor.fetchall()

    async def someone_waits(self) -> None:
        """Return when a session has to wait for another's lock on this namespace."""
        async with asyncio.timeout(PATIENCE):
            while not await self.look(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                "AND query LIKE '%{ns}_%' AND datname = current_database()"
            ):
                await asyncio.sleep(0.005)

    async def assert_nothing_is_left_behind(self) -> None:
        """Check that no gate, key or line remembers a job that has ended."""
        for table in ("gate", "slot", "blocked", "ready", "delayed", "running"):
            assert await self.look(f"SELECT * FROM {{ns}}_{table}") == [], table
        assert await self.look("SELECT * FROM {ns}_gated WHERE grp IS NOT NULL OR placed") == []
        assert await self.look("SELECT * FROM {ns}_dep WHERE attached OR waits") == []


@pytest.fixture
async def yard(database: str) -> AsyncIterator[Yard]:
    yard = Yard(database)
    await (await yard.open()).prepare()
    yield yard
    await yard.close()


@asynccontextmanager
async def uncommitted(handle: PostgresBackend) -> AsyncIterator[AsyncConnection]:
    """Let what the handle does meanwhile be one transaction, which is committed at the end."""
    store = handle._opened()
    connection = await store._connect()
    await connection.set_autocommit(False)

    async def here(run: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        return await run(connection)

    usual = store._on_connection
    store._on_connection = here  # type: ignore[method-assign]
    try:
        yield connection
        await connection.commit()
    finally:
        store._on_connection = usual  # type: ignore[method-assign]
        await connection.close()


async def both(
    yard: Yard,
    first: Callable[[PostgresBackend], Coroutine[Any, Any, object]],
    second: Callable[[PostgresBackend], Coroutine[Any, Any, T]],
) -> T:
    """Run two steps, the second while the first is not committed; return the second's answer."""
    one, other = yard.handles[0], await yard.open()
    async with uncommitted(one):
        await first(one)
        waiting = asyncio.create_task(second(other))
        await yard.someone_waits()
        assert not waiting.done()
    return await waiting


async def running(handle: PostgresBackend, *jobs: JobSpec) -> tuple[Lease, ...]:
    """Add jobs and claim what there is."""
    await handle.add([(job,) for job in jobs])
    return (await handle.claim(want())).leases


async def states(handle: PostgresBackend, *ids: str) -> list[str]:
    return ["gone" if job is None else job.state.value for job in await handle.get(ids)]


def member(job_id: str, **fields: Any) -> JobSpec:
    return spec(job_id, group=Group(key="g"), **fields)


def child(job_id: str, *parents: str) -> JobSpec:
    return spec(job_id, depends_on=tuple(Dependency(parent=each) for each in parents))


# -- two sessions


@pytest.mark.parametrize("others", [0, 1], ids=["last-of-its-group", "others-stay"])
async def test_an_add_that_waits_for_the_end_before_it_gets_the_place(
    yard: Yard, others: int
) -> None:
    handle = yard.handles[0]
    jobs = [member(f"later-{n}", delay_ms=3_600_000) for n in range(others)]
    (lease,) = await running(handle, member("a"), *jobs)
    answers = await both(
        yard,
        lambda one: one.settle([settlement(lease, Done())]),
        lambda other: other.add([(member("b"),)]),
    )
    assert answers == [(Added("b", AddOutcome.CREATED, JobState.WAITING),)]
    assert await yard.look("SELECT taken, members FROM {ns}_gate") == [(1, 1 + others)]
    assert [each.job_id for each in (await handle.claim(want())).leases] == ["b"]


async def test_an_end_that_waits_for_an_add_lets_the_new_job_on(yard: Yard) -> None:
    handle = yard.handles[0]
    (lease,) = await running(handle, member("a"))
    answer = await both(
        yard,
        lambda one: one.add([(member("b"),)]),
        lambda other: other.settle([settlement(lease, Done())], claim=want()),
    )
    assert answer.results == (Settled.OK,)
    assert answer.claimed is not None
    assert [each.job_id for each in answer.claimed.leases] == ["b"]


async def test_two_ends_of_a_group_let_two_jobs_on(yard: Yard) -> None:
    jobs = [spec(f"{n}", group=Group(key="g", limit=2)) for n in range(4)]
    first, second = await running(yard.handles[0], *jobs)
    await both(
        yard,
        lambda one: one.settle([settlement(first, Done())]),
        lambda other: other.settle([settlement(second, Done())]),
    )
    assert await states(yard.handles[0], "2", "3") == ["waiting"] * 2


async def test_an_add_that_waits_for_another_of_its_key_is_not_stored(yard: Yard) -> None:
    key = Dedup(key="k")
    answers = await both(
        yard,
        lambda one: one.add([(spec("a", dedup=key),)]),
        lambda other: other.add([(spec("b", dedup=key),)]),
    )
    assert answers == [(Added("a", AddOutcome.DEDUPLICATED, JobState.WAITING),)]


async def test_a_replacing_add_that_waits_for_the_end_of_the_holder_is_stored(yard: Yard) -> None:
    key = Dedup(key="k")
    handle = yard.handles[0]
    (lease,) = await running(handle, spec("a", dedup=key, attempts=2))
    answers = await both(
        yard,
        lambda one: one.settle([settlement(lease, Retried(0))]),
        lambda other: other.add(
            [(spec("b", dedup=Dedup(key="k", mode=DedupMode.REPLACE), payload=b"new"),)]
        ),
    )
    assert answers == [(Added("a", AddOutcome.DEDUPLICATED, JobState.WAITING),)]
    (again,) = (await handle.claim(want())).leases
    assert (again.job_id, again.payload) == ("a", b"new")


@pytest.mark.parametrize("end", [Done(), Failed(Reason.REFUSED)], ids=["done", "failed"])
async def test_a_child_that_waits_for_the_end_of_its_parent_goes_where_it_leads(
    yard: Yard, end: Outcome
) -> None:
    handle = yard.handles[0]
    (lease,) = await running(handle, spec("a"))
    ((added,),) = await both(
        yard,
        lambda one: one.settle([settlement(lease, end)]),
        lambda other: other.add([(child("b", "a"),)]),
    )
    assert added.state is (JobState.WAITING if end == Done() else JobState.FAILED)


async def test_an_end_that_waits_for_a_child_lets_it_go_on(yard: Yard) -> None:
    """The run is plain for all that its holder knows: the step is begun again with more locks."""
    handle = yard.handles[0]
    (lease,) = await running(handle, spec("a"))
    answer = await both(
        yard,
        lambda one: one.add([(child("b", "a"),)]),
        lambda other: other.settle([settlement(lease, Done())], claim=want()),
    )
    assert answer.results == (Settled.OK,)
    assert answer.claimed is not None
    assert [each.job_id for each in answer.claimed.leases] == ["b"]


# -- many jobs in one step


def tied(dice: random.Random, number: int) -> JobSpec:
    """Make up a job of a group, or with a key, or both, or neither."""
    fields: dict[str, Any] = {"priority": dice.choice((0, 0, 5)), "lifo": dice.random() < 0.2}
    if dice.random() < 0.2:
        fields["delay_ms"] = 3_600_000
    if dice.random() < 0.1:
        fields["ttl_ms"] = 3_600_000
    if dice.random() < 0.7:
        fields["group"] = Group(key=f"g{dice.randrange(5)}", limit=3)
    if dice.random() < 0.5:
        mode = dice.choice((DedupMode.IGNORE, DedupMode.EXTEND))
        ttl = dice.choice((None, 3_600_000))
        fields["dedup"] = Dedup(key=f"k{dice.randrange(9)}", mode=mode, ttl_ms=ttl)
    return spec(f"j{number}", queue=dice.choice((QUEUE, QUEUE, "other")), **fields)


@pytest.mark.parametrize("seed", range(4))
async def test_jobs_added_in_one_step_fare_as_one_by_one(database: str, seed: int) -> None:
    """Some are there, some keys are held, the groups have other limits and full lines before."""
    dice = random.Random(seed)
    before = [
        spec(f"b{number}", group=Group(key=f"g{number % 5}", limit=1 + number % 4))
        for number in range(dice.randrange(4, 16))
    ]
    holders = [spec(f"h{number}", dedup=Dedup(key=f"k{number}")) for number in range(3)]
    jobs = [tied(dice, number) for number in range(60)]
    there = dice.sample(jobs, 4)
    outcomes = []
    for at_once in (True, False):
        yard = Yard(database)
        try:
            handle = await yard.open()
            await handle.prepare()
            for job in (
                *before,
                *holders,
                *(msgspec.structs.replace(x, dedup=None) for x in there),
            ):
                await handle.add([(job,)])
            (lease, *_) = (await handle.claim(want(QUEUE, limit=1))).leases
            await handle.settle([settlement(lease, Done())])
            units = [(job,) for job in jobs]
            if at_once:
                answers = await handle.add(units)
            else:
                answers = [(await handle.add([unit]))[0] for unit in units]
            outcomes.append(
                (
                    answers,
                    await states(handle, *(job.id for job in (*before, *holders, *jobs))),
                    await yard.look(
                        "SELECT q.name, g.key, g.room, g.taken, g.members FROM {ns}_gate g "
                        "JOIN {ns}_queue q ON q.id = g.queue ORDER BY q.name, g.key"
                    ),
                    await yard.look(
                        "SELECT q.name, d.key, d.job_id, d.until IS NULL FROM {ns}_dedup d "
                        "JOIN {ns}_queue q ON q.id = d.queue ORDER BY q.name, d.key"
                    ),
                    await yard.look(
                        "SELECT q.name, sum(waiting), sum(delayed), sum(blocked), "
                        "sum(now_added) + (SELECT coalesce(sum(t.added), 0) FROM {ns}_tally t "
                        "WHERE t.queue = g.queue) "
                        "FROM {ns}_gauge g JOIN {ns}_queue q ON q.id = g.queue "
                        "GROUP BY g.queue, q.name ORDER BY q.name"
                    ),
                    await yard.look(
                        "SELECT j.id FROM {ns}_blocked b JOIN {ns}_job j "
                        "ON j.no = abs(b.no) JOIN {ns}_gate g ON g.id = b.line "
                        "ORDER BY g.queue, g.key, b.prio, b.no"
                    ),
                )
            )
        finally:
            await yard.close()
    assert outcomes[0] == outcomes[1]


# -- many sessions

CHANGES: tuple[Change, ...] = (Cancel(), Remove(), Revive(), SetPriority(3))
ENDS: tuple[Outcome, ...] = (
    Done(),
    Done(),
    Done(),
    Retried(0),
    Released(),
    Failed(Reason.REFUSED),
)


class Mill:
    """Adds, claims, settles and edits jobs of all kinds, in an order of its own."""

    def __init__(self, handle: PostgresBackend, number: int, seed: int) -> None:
        self.handle = handle
        self.number = number
        self.dice = random.Random(seed)
        self.made: list[str] = []
        self.held: list[Lease] = []

    def job(self) -> JobSpec:
        """Make up a job: most have a group, some more than that."""
        dice = self.dice
        fields: dict[str, Any] = {"attempts": 3, "priority": dice.choice((0, 0, 5))}
        if dice.random() < 0.8:
            fields["group"] = Group(key=f"g{dice.randrange(6)}", limit=dice.choice((1, 1, 2)))
        if dice.random() < 0.2:
            fields["rate"] = RateKey(key=f"r{dice.randrange(2)}", count=50, per_ms=20)
        if dice.random() < 0.2:
            mode = dice.choice(tuple(DedupMode))
            fields["dedup"] = Dedup(key=f"k{dice.randrange(4)}", mode=mode)
        if self.made and dice.random() < 0.3:
            parents = dice.sample(self.made[-20:], min(2, len(self.made)))
            fields["depends_on"] = tuple(Dependency(parent=each) for each in parents)
        if dice.random() < 0.1:
            fields["delay_ms"] = dice.randrange(1, 30)
        if dice.random() < 0.1:
            fields["ttl_ms"] = dice.randrange(20, 200)
        return spec(f"j{self.number}-{len(self.made)}-{dice.randrange(10**6)}", **fields)

    async def turn(self) -> None:
        """Do one thing."""
        dice = self.dice
        throw = dice.random()
        if throw < 0.35:
            jobs = [self.job() for _ in range(dice.randrange(1, 5))]
            await self.handle.add([(job,) for job in jobs])
            self.made += [job.id for job in jobs]
        elif throw < 0.9:
            await self.settle(claim=dice.random() < 0.8)
        elif throw < 0.97 and self.made:
            ids = dice.sample(self.made, min(3, len(self.made)))
            await self.handle.change(ids, dice.choice(CHANGES))
        elif throw < 0.99:
            await self.handle.reap(limit=10)
        else:
            await self.handle.sweep(Retention(completed_ms=50, others_ms=50, count=100))

    async def settle(self, *, claim: bool) -> None:
        """End some runs in any order, as they come."""
        self.dice.shuffle(self.held)
        count = self.dice.randrange(len(self.held) + 1)
        ended, self.held = self.held[:count], self.held[count:]
        ends = [settlement(lease, self.dice.choice(ENDS)) for lease in ended]
        wanted = want(QUEUE, limit=8, worker=f"w{self.number}") if claim else None
        answer = await self.handle.settle(ends, claim=wanted)
        if answer.claimed is not None:
            self.held += answer.claimed.leases


async def deadlocks(yard: Yard) -> int:
    """Tell how many deadlocks the server has had to break in this database."""
    async with await AsyncConnection.connect(yard.url, autocommit=True) as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        cursor = await connection.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0])


async def test_no_two_of_many_sessions_wait_for_each_other(yard: Yard) -> None:
    """Steps on the same groups, keys and parents, in any order, keep to one order of locks.

    A deadlock would not come to light otherwise: the step that the server breaks off is begun
    again by the store, a second later.
    """
    before = await deadlocks(yard)
    seed = secrets.randbelow(2**32)
    mills = [Mill(await yard.open(), number, seed + number) for number in range(8)]

    async def work(mill: Mill) -> None:
        for _ in range(100):
            await mill.turn()

    try:
        await asyncio.gather(*map(work, mills))
        handle = yard.handles[0]
        for mill in mills:
            await handle.settle([settlement(lease, Done()) for lease in mill.held])
        async with asyncio.timeout(PATIENCE):
            while await yard.look(
                "SELECT 1 FROM {ns}_ready UNION ALL SELECT 1 FROM {ns}_delayed "
                "UNION ALL SELECT 1 FROM {ns}_blocked LIMIT 1"
            ):
                leases = (await handle.claim(want(QUEUE))).leases
                await handle.settle([settlement(lease, Done()) for lease in leases])
                await handle.reap(limit=100)
        await yard.look("DELETE FROM {ns}_slot RETURNING 1")
        assert (
            await yard.look("SELECT * FROM {ns}_gate WHERE kind = 0 OR taken + members > 0") == []
        )
        await yard.look("DELETE FROM {ns}_gate RETURNING 1")
        await yard.assert_nothing_is_left_behind()
        assert await deadlocks(yard) == before
    except BaseException as error:
        error.add_note(f"the dice began with {seed}")
        raise
