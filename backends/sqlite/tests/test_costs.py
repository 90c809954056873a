"""What an operation costs: the statements that it takes, which are the same on every machine."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from backends.sqlite.tests.handles import at, spec, want

from jobyard.clock import ManualClock
from jobyard.job import Dedup, Dependency, Group, JobState, RateKey, Unit
from jobyard.lease import Claim, Done, Lease, Settlement, Source
from jobyard.limit import HoldBack, Limit
from jobyard_sqlite.backend import SqliteBackend

T = TypeVar("T")


class Meter:
    """A backend whose statements are counted; one that is run for many rows counts for each."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock()
        self.backend = at(path, clock=self.clock)
        self.seen: list[str] = []

    async def open(self) -> None:
        await self.backend.open()
        await self.backend.prepare()
        await self.backend.add([(spec("first"),)])
        await self.backend.claim(want(1))  # and the handle knows the queue, its lanes and limits
        cursor = self.backend._opened()._write_cursor
        assert cursor is not None
        cursor.connection.set_trace_callback(self.seen.append)

    async def of(self, call: Awaitable[T]) -> tuple[int, T]:
        """Count the statements of a call."""
        self.seen.clear()
        answer = await call
        return len(self.seen), answer

    async def claim(self, wanted: Claim) -> tuple[int, Sequence[Lease]]:
        count, claimed = await self.of(self.backend.claim(wanted))
        return count, claimed.leases


@pytest.fixture
async def meter(path: Path) -> Meter:
    made = Meter(path)
    await made.open()
    return made


def done(leases: Sequence[Lease]) -> list[Settlement]:
    return [Settlement(lease, Done()) for lease in leases]


async def test_a_job_without_ties_costs_what_it_did_before_there_were_any(meter: Meter) -> None:
    """The numbers are those from before groups, rates, keys, dependencies, limits were there."""
    backend = meter.backend
    costs = {}
    costs["add one"], _ = await meter.of(backend.add([(spec(),)]))
    costs["add one later"], _ = await meter.of(backend.add([(spec(delay_ms=50),)]))
    costs["add 100"], _ = await meter.of(backend.add([tuple(spec() for _ in range(100))]))
    costs["claim"], leases = await meter.claim(want(50))
    costs["settle and claim"], answer = await meter.of(backend.settle(done(leases), claim=want(50)))
    assert answer.claimed is not None
    meter.clock.advance(ms=50)
    costs["settle, promote and claim"], _ = await meter.of(
        backend.settle(done(answer.claimed.leases), claim=want(50))
    )
    await backend.close()
    assert costs == {
        "add one": 7,
        "add one later": 7,
        "add 100": 106,
        "claim": 11,
        "settle and claim": 15,
        "settle, promote and claim": 19,
    }


TIES: dict[str, Unit] = {
    "behind a place": tuple(spec(group=Group(key="g")) for _ in range(2_000)),
    "behind a slot": tuple(
        spec(rate=RateKey(key="r", count=1, per_ms=60_000)) for _ in range(2_000)
    ),
    "behind a parent": (
        spec("parent", delay_ms=60_000),
        *(spec(depends_on=(Dependency(parent="parent"),)) for _ in range(2_000)),
    ),
}


@pytest.mark.parametrize("ties", TIES)
async def test_what_is_held_back_costs_a_claim_nothing(meter: Meter, ties: str) -> None:
    await meter.backend.add([TIES[ties], tuple(spec() for _ in range(40))])
    _, _ = await meter.claim(want(2))
    before, _ = await meter.claim(want(10))
    plain, leases = await meter.claim(want(10))
    await meter.backend.close()
    assert len(leases) == 10
    assert (before, plain) == (11, 11)


@pytest.mark.parametrize("limit", [Limit(concurrency=9), HoldBack(ms=60_000)], ids=repr)
async def test_a_limit_costs_other_queues_nothing(meter: Meter, limit: Limit | HoldBack) -> None:
    await meter.backend.add([tuple(spec() for _ in range(40)), (spec(queue="other"),)])
    before, _ = await meter.claim(want(10))
    await meter.backend.control("other", limit)
    after, leases = await meter.claim(want(10))
    await meter.backend.close()
    assert len(leases) == 10
    assert (before, after) == (11, 11)


async def test_what_a_limit_holds_back_costs_a_claim_nothing(meter: Meter) -> None:
    await meter.backend.add([tuple(spec(name=name) for name in "xy" for _ in range(5))])
    await meter.backend.control("emails", HoldBack(name="x", ms=60_000))
    await meter.claim(want(1))
    before, _ = await meter.claim(want(1))
    await meter.backend.add([tuple(spec(name="x") for _ in range(2_000))])
    after, leases = await meter.claim(want(1))
    await meter.backend.close()
    assert [lease.name for lease in leases] == ["y"]
    assert before == after


async def test_a_place_that_goes_on_costs_the_same_before_any_number(meter: Meter) -> None:
    costs = []
    for key, waiting in (("few", 3), ("many", 2_000)):
        jobs = tuple(spec(queue=key, group=Group(key=key)) for _ in range(waiting))
        await meter.backend.add([jobs])
        sources = (Source(queue=key),)
        _, leases = await meter.claim(want(sources=sources))
        cost, answer = await meter.of(
            meter.backend.settle(done(leases), claim=want(sources=sources))
        )
        assert answer.claimed is not None
        assert len(answer.claimed.leases) == 1
        costs.append(cost)
    await meter.backend.close()
    assert costs[0] == costs[1]


async def test_many_jobs_with_ties_are_written_at_once(meter: Meter) -> None:
    """Each job costs its rows and no more: it is not read back, and its gate is found once."""
    jobs = tuple(
        spec(group=Group(key=f"g{n % 10}"), dedup=Dedup(key=f"k{n}")) for n in range(1_000)
    )
    cost, (answers,) = await meter.of(meter.backend.add([jobs]))
    blocked = sum(answer.state is JobState.BLOCKED for answer in answers)
    await meter.backend.close()
    assert blocked == 990
    # its key looked up and held, `job`, `gated`, and `ready` or `blocked`
    assert cost <= 5 * len(jobs) + 50


async def test_the_children_of_a_parent_go_on_together(meter: Meter) -> None:
    children = [spec(f"c{n}", depends_on=(Dependency(parent="p"),)) for n in range(1_000)]
    cost, _ = await meter.of(meter.backend.add([(spec("p", queue="p"), *children)]))
    # `job`, `dep` and `blocked`
    assert cost <= 3 * len(children) + 50
    _, leases = await meter.claim(want(sources=(Source(queue="p"),)))
    cost, _ = await meter.of(meter.backend.settle(done(leases)))
    # out of `blocked`, into `ready`, and the due of the job
    assert cost <= 3 * len(children) + 50
    _, leases = await meter.claim(want(1_000))
    cost, _ = await meter.of(meter.backend.settle(done(leases)))
    await meter.backend.close()
    assert cost <= 50


async def test_showing_jobs_looks_for_parents_only_of_those_that_have_any(
    backend: SqliteBackend,
) -> None:
    await backend.add([(spec("a"), spec("b", depends_on=(Dependency(parent="a"),)))])
    seen: list[str] = []
    await backend.get(["a"])
    cursor = backend._opened()._read_cursor
    assert cursor is not None
    cursor.connection.set_trace_callback(seen.append)
    costs = []
    for job_id in "ab":
        seen.clear()
        await backend.get([job_id])
        costs.append(sum(text.startswith("SELECT") for text in seen))
    assert costs == [1, 2]
