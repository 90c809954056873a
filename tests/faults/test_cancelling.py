"""A01 to A03, A07, F15, R09: callers that are cancelled at every wait of a call, on each store."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence

import pytest
from tests.faults.cutting import Cut, Moment, answers_are_its_own
from tests.faults.handles import opened
from tests.patience import PATIENCE

from jobyard.backend import Backend
from jobyard.clock import ManualClock
from jobyard.lease import Done, Lease, Settled
from jobyard.plugins import open_backend
from jobyard.query import Counts
from jobyard_conformance.builders import settlement, specs, want

each_moment = pytest.mark.parametrize("moment", Moment, ids=lambda moment: moment.name.lower())

TTL = 5_000


async def counts_of(handle: Backend, queue: str) -> Counts:
    (info,) = await handle.queues([queue])
    return info.counts


async def held_under(handle: Backend, queue: str, lease_id: str) -> Sequence[Lease]:
    """Repeat a claim until it gives all that is leased of its queue.

    A request whose caller has gone may still be on its way to the server.
    """
    async with asyncio.timeout(PATIENCE):
        while True:
            claim = want(queue, limit=2, ttl_ms=TTL, lease_id=lease_id)
            leases = (await handle.claim(claim)).leases
            if len(leases) == (await counts_of(handle, queue)).active:
                return leases
            await asyncio.sleep(0.01)


@each_moment
@pytest.mark.case("A01", "A07")
async def test_a_claim_that_is_cut_leaves_nothing_leased_that_its_repeat_does_not_give(
    backend: Backend, clock: ManualClock, moment: Moment
) -> None:
    for number in itertools.count(1):
        queue = f"q{number}"
        await backend.add([specs(*(f"{queue}-{n}" for n in range(3)), queue=queue)])
        claim = want(queue, limit=2, ttl_ms=TTL, lease_id=queue)
        cut = Cut(backend.claim(claim), number, moment)
        await cut.made()
        await answers_are_its_own(backend)
        leases = await held_under(backend, queue, queue)
        assert [lease.job_id for lease in leases] == [f"{queue}-0", f"{queue}-1"]
        if number % 2:  # the worker is there still, and settles
            ends = [settlement(lease, Done()) for lease in leases]
            assert set((await backend.settle(ends)).results) == {Settled.OK}
            assert await counts_of(backend, queue) == Counts(completed=2, waiting=1)
        else:  # it is not: its leases run out
            clock.advance(ms=TTL)
            assert {each.job_id for each in await backend.reap(limit=100)} == {
                lease.job_id for lease in leases
            }
            assert await counts_of(backend, queue) == Counts(waiting=3)
        if cut.came_to_its_end:
            return


@each_moment
@pytest.mark.case("A02", "A07")
async def test_a_settle_that_is_cut_counts_whole_or_not_at_all(
    backend: Backend, moment: Moment
) -> None:
    for number in itertools.count(1):
        queue = f"q{number}"
        await backend.add([specs(*(f"{queue}-{n}" for n in range(5)), queue=queue)])
        leases = (await backend.claim(want(queue, limit=3))).leases
        ends = [settlement(lease, Done(b"done")) for lease in leases]
        wish = want(queue, limit=1, lease_id=f"next-{number}")
        cut = Cut(backend.settle(ends, claim=wish), number, moment)
        await cut.made()
        await answers_are_its_own(backend)
        again = await backend.settle(ends, claim=wish)
        assert set(again.results) in ({Settled.OK}, {Settled.ALREADY})
        assert again.claimed is not None
        assert [lease.job_id for lease in again.claimed.leases] == [f"{queue}-3"]
        assert await counts_of(backend, queue) == Counts(completed=3, active=1, waiting=1)
        if cut.came_to_its_end:
            return


@each_moment
@pytest.mark.case("A03", "A07")
async def test_an_add_that_is_cut_is_there_whole_or_not_at_all(
    backend: Backend, moment: Moment
) -> None:
    for number in itertools.count(1):
        unit = specs(*(f"{number}-{n}" for n in range(20)))
        cut = Cut(backend.add([unit]), number, moment)
        await cut.made()
        await answers_are_its_own(backend)
        found = await backend.get([job.id for job in unit])
        assert {job is None for job in found} in ({True}, {False})
        (answers,) = await backend.add([unit])
        assert {each.outcome for each in answers} in ({"created"}, {"exists"})
        assert (await counts_of(backend, "emails")).total == number * 20
        if cut.came_to_its_end:
            return


@each_moment
@pytest.mark.case("A07")
async def test_a_look_that_is_cut_leaves_its_answer_to_nobody(
    backend: Backend, moment: Moment
) -> None:
    for number in itertools.count(1):
        cut = Cut(backend.get([f"known-{number}"]), number, moment)
        await cut.made()
        (job,) = await backend.get(["known-0"])
        assert job is not None
        assert job.id == "known-0"
        await answers_are_its_own(backend)
        if cut.came_to_its_end:
            return


@pytest.mark.case("F15")
async def test_a_preparation_that_is_cut_leaves_nothing_half_done(url: str) -> None:
    """Ctrl-C cancels what runs: here at the first wait, the sixth, the thirty-sixth and so on."""
    for power in itertools.count():
        handle = open_backend(url, namespace=f"yard_{power}")
        try:
            await handle.open()
            cut = Cut(handle.prepare(), 6**power, Moment.BEGINS)
            await cut.made()
        finally:
            await handle.close()
        async with opened(url, namespace=f"yard_{power}") as later:
            assert await later.is_prepared()
            await later.add([specs("a")])
            assert len((await later.claim(want())).leases) == 1
        if cut.came_to_its_end:
            return


@each_moment
@pytest.mark.case("F15")
async def test_an_opening_that_is_cut_leaves_nothing_in_the_way(url: str, moment: Moment) -> None:
    for number in itertools.count(1):
        handle = open_backend(url)
        cut = Cut(handle.open(), number, moment)
        await cut.made()
        await handle.close()
        await handle.open()
        await handle.prepare()
        await handle.add([specs(f"j{number}")])
        assert len(await handle.get([f"j{number}"])) == 1
        await handle.close()
        if cut.came_to_its_end:
            return


@pytest.mark.case("R09")
async def test_a_thousand_calls_that_are_cancelled_leave_every_connection_for_the_next(
    backend: Backend,
) -> None:
    chance = random.Random(7)

    async def given_up(turns: int) -> None:
        call = asyncio.ensure_future(backend.get(["known-1"]))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])

    for _ in range(20):
        await asyncio.gather(*(given_up(chance.randrange(12)) for _ in range(50)))
    await answers_are_its_own(backend)
