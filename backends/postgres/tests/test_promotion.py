"""N16: a standby takes over from its primary, whose last commits it may not have."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from backends.postgres.tests.standby import Standby, either
from tests.faults.handles import opened
from tests.patience import PATIENCE

from jobyard import Job, QueueService
from jobyard.backend import Backend
from jobyard.clock import ManualClock
from jobyard.errors import BackendUnavailable
from jobyard.health import Severity
from jobyard.lease import Done, Hold, Lease, Settled, Source
from jobyard_conformance.builders import QUEUE, settlement, spec, specs, want
from jobyard_postgres.throwaway import FAST, Server

TAIL = 100
"""More than the numbers of a sequence that a server writes to its log ahead of their use (32): what
lies beyond them the standby gives once more."""

STANDBY = "the server is a standby: it takes no writes; name its primary"


class Pair(NamedTuple):
    primary: Server
    standby: Standby
    url: str

    def take_over(self) -> None:
        """Kill the primary, and promote the standby."""
        self.primary.stop(how=signal.SIGQUIT)
        self.standby.promote()


@pytest.fixture
def pair() -> Iterator[Pair]:
    # What a commit waits for is the point; a disk that is slow is not.
    settings = {**FAST, "synchronous_commit": "on"}
    with Server(settings=settings) as primary:
        primary.create_database("jobs")
        with Standby(primary, settings=settings) as standby:
            yield Pair(primary, standby, either(primary, standby, database="jobs"))


async def one(handle: Backend, name: str) -> Lease:
    """Claim the one job of a name."""
    source = Source(queue=QUEUE, names=(name,))
    (lease,) = (await handle.claim(want(source, limit=1, ttl_ms=5_000))).leases
    return lease


async def ids(handle: Backend, *job_ids: str) -> list[str | None]:
    return [job.id if job else None for job in await handle.get(job_ids)]


async def reconnect(handle: Backend) -> None:
    """Ask until the connections that died with the primary are replaced."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await handle.ping()
            except BackendUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


@pytest.mark.case("N16")
async def test_only_what_was_not_copied_is_missing_and_a_stale_settle_is_lost(pair: Pair) -> None:
    clock = ManualClock()
    async with opened(pair.url, clock=clock) as handle:
        await handle.add([(spec("ended", name="ended"),), (spec("settled", name="settled"),)])
        await handle.add([(spec("held", name="held"),)])
        await handle.add([tuple(spec(f"j{n}", name=f"n{n}") for n in range(TAIL))])
        ended, settled, held = [await one(handle, name) for name in ("ended", "settled", "held")]
        await handle.settle([settlement(ended, Done(b"kept"))])
        await asyncio.to_thread(pair.standby.catch_up)
        await asyncio.to_thread(pair.standby.cut_off)
        # The tail, which nobody copies: an add, a settle, and many claims.
        await handle.add([specs("lost", name="lost")])
        tail = [await one(handle, f"n{n}") for n in range(TAIL)]
        late = await handle.settle([settlement(settled, Done(b"old"))])
        assert late.results == (Settled.OK,)

        await asyncio.to_thread(pair.take_over)
        await reconnect(handle)
        assert await ids(handle, "ended", "settled", "held", "lost") == [
            "ended", "settled", "held", None,
        ]  # fmt: skip
        states = [job.state for job in await handle.get(["ended", "settled", "held"]) if job]
        assert states == ["completed", "active", "active"]

        # Leases that were copied are good; those of the tail are nobody's.
        assert await handle.extend([held], ttl_ms=5_000) == (Hold.HELD,)
        assert set(await handle.extend(tail, ttl_ms=5_000)) == {Hold.LOST}
        stale = await handle.settle([settlement(each, Done(b"stale")) for each in tail])
        assert set(stale.results) == {Settled.LOST}

        # A lease with the number of one of the tail is not that one.
        before = await one(handle, "n0")
        (twin,) = [each for each in tail if each.fence == before.fence + 1]
        again = await one(handle, twin.name)
        assert (again.job_id, again.fence) == (twin.job_id, twin.fence)
        ends = [settlement(twin, Done(b"stale")), settlement(again, Done(b"new"))]
        assert (await handle.settle(ends)).results == (Settled.LOST, Settled.OK)

        # What had ended in the tail alone runs again, when its lease is over, and all ends.
        clock.advance(ms=5_000)
        reaped = [each.job_id for each in await handle.reap(limit=10)]
        assert sorted(reaped) == ["held", "j0", "settled"]
        while leases := (await handle.claim(want())).leases:
            results = (await handle.settle([settlement(x, Done(b"new")) for x in leases])).results
            assert set(results) == {Settled.OK}
        jobs = await handle.get(["ended", "settled", "held", *(f"j{n}" for n in range(TAIL))])
        found = {job.id: (job.state, job.result) for job in jobs if job}
        assert found.pop("ended") == ("completed", b"kept")
        assert set(found.values()) == {("completed", b"new")}
        assert len(found) == TAIL + 2


@pytest.mark.case("N16")
async def test_a_handle_mistakes_no_kind_of_job_for_one_of_the_lost_tail(pair: Pair) -> None:
    """Its memory of what has which number is older than the server that it goes on with."""
    async with opened(pair.url, clock=ManualClock()) as handle:
        await asyncio.to_thread(pair.standby.catch_up)
        await asyncio.to_thread(pair.standby.cut_off)
        for n in range(TAIL):
            await handle.add([(spec(f"old{n}", name=f"old{n}"),)])
        assert len((await handle.claim(want(limit=TAIL))).leases) == TAIL

        await asyncio.to_thread(pair.take_over)
        await reconnect(handle)
        for n in range(TAIL):
            await handle.add([(spec(f"new{n}", name=f"new{n}"),)])
        leases = (await handle.claim(want(limit=TAIL))).leases
        assert {each.job_id: each.name for each in leases} == {
            f"new{n}": f"new{n}" for n in range(TAIL)
        }


@pytest.mark.case("N15", "N16")
async def test_a_worker_goes_on_with_the_standby_that_took_over(pair: Pair) -> None:
    """Commits wait for the standby here, so that nothing is lost at all."""
    ran: list[str] = []
    go_on = asyncio.Event()
    service = QueueService(pair.url)

    @service.handler("q", "n")
    async def n(job: Job) -> str:
        ran.append(job.id)
        await go_on.wait()
        return "done"

    async with QueueService(pair.standby.url("jobs"), migrate="off") as reader:
        assert await finding(reader) == (Severity.WARNING, STANDBY)
        with pytest.raises(BackendUnavailable, match="standby"):
            await reader.migrate()
    async with service, asyncio.timeout(2 * PATIENCE):
        assert "primary with 1 standbys" in (await finding(service))[1]
        with pair.primary.connect() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
        while "a commit waits for standbys (*)" not in (await finding(service))[1]:
            await asyncio.sleep(0.02)
        first = [job.id for job in await service.add_jobs("q", [("n", each) for each in range(20)])]
        async with service.worker(lease=3_600, poll_interval=0.05, concurrency=5):
            while len(ran) < 5:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(pair.take_over)
            go_on.set()
            last = await added(service)
            for job_id in (*first, last):
                while not (job := await service.get_job(job_id)).state.is_finished:
                    await asyncio.sleep(0.02)
                assert (job.state, job.result, job.crashes) == ("completed", "done", 0)
        assert await finding(service) == (Severity.OK, "primary, without standbys")
    assert sorted(ran) == sorted([*first, "last"])


async def added(service: QueueService) -> str:
    """Add a job, again under its id until the connections that died are replaced."""
    while True:
        try:
            return (await service.add_job("q", "n", job_id="last")).id
        except BackendUnavailable:
            await asyncio.sleep(0.02)


async def finding(service: QueueService) -> tuple[Severity, str]:
    (role,) = [each for each in await service.inspect() if each.subject == "role"]
    return role.severity, role.text
