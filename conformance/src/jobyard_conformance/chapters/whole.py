"""The whole: what holds for every method."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from typing import Final

import msgspec
import pytest

from jobyard.backend import Backend
from jobyard.edits import Pause, SetPayload, SetProgress
from jobyard.errors import BackendError
from jobyard.job import JobState, Reason
from jobyard.lease import Claim, Done, Failed, Hold, Progress, Released, Retried, Settled, Source
from jobyard.query import JobQuery
from jobyard.schedule import ScheduleRecord
from jobyard_conformance.builders import QUEUE, settlement, spec, specs, want
from jobyard_conformance.chapter import NOT_CLAIMED, Chapter
from jobyard_conformance.chapters.workers import worker
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import START, Yard, ids

VALUES: Final = {
    "empty": b"",
    "all-values": bytes(range(256)) * 2,
    "text": '{"ü": "\\u0000", "n": 1e400}'.encode(),
    "large": random.Random(5).randbytes(2**20),
}
each_value = pytest.mark.parametrize("value", VALUES.values(), ids=list(VALUES))

TURNS: Final = (0, 1, 2, 3, 5, 8, 13, 40)
"""After how many turns of the event loop a caller is cancelled."""

FOREIGN: Final = 10_000
"""How many jobs of each kind a claim is not to be slowed by."""

ROUNDS: Final = 60

TRIES: Final = 8


class Whole(Chapter):
    """Atomicity, bytes, visibility, many calls at once."""

    chapter = "whole"

    @clause("ALL-1", "ALL-5")
    async def test_a_cancelled_add_is_whole_or_nothing(self, yard: Yard) -> None:
        other = await yard.another()
        for turn in TURNS:
            unit = tuple(spec(f"{turn}-{n}") for n in range(100))
            async with _cancelled(turn):
                await yard.backend.add([unit])
            ours = await yard.backend.get([job.id for job in unit])
            theirs = await other.get([job.id for job in unit])
            for found in (ours, theirs):
                assert len([each for each in found if each is not None]) in {0, 100}
        (added,) = await yard.add(spec("after"))
        assert added.outcome == "created"

    @clause("ALL-1", "ALL-5")
    async def test_a_cancelled_settle_is_whole_or_nothing(self, yard: Yard) -> None:
        for turn in TURNS:
            queue = f"q{turn}"
            await yard.backend.add([tuple(spec(queue=queue) for _ in range(30))])
            leases = await yard.claim(want(queue, limit=20))
            wish = want(queue, limit=5)
            async with _cancelled(turn):
                await yard.backend.settle([settlement(each, Done()) for each in leases], claim=wish)
            again = await yard.backend.settle(
                [settlement(each, Done()) for each in leases], claim=wish
            )
            assert set(again.results) in ({Settled.OK}, {Settled.ALREADY})
            assert again.claimed is not None
            assert len(again.claimed.leases) == 5
            counts = (await yard.info(queue)).counts
            assert (counts.completed, counts.active, counts.waiting) == (20, 5, 5)

    @clause("ALL-3")
    @each_value
    @pytest.mark.case("B01", "B02")
    async def test_bytes_come_back_as_given(self, yard: Yard, value: bytes) -> None:
        await yard.add(spec("a", payload=value, options=value, attempts=9))
        record = await yard.job("a")
        assert record.payload == value
        assert record.options == value
        lease = await yard.claim_one()
        assert lease.payload == value
        assert lease.options == value
        await yard.backend.report([Progress(lease, value)])
        await yard.settle(lease, Retried(0, value))
        record = await yard.job("a")
        assert record.progress == value
        assert record.error == value
        lease = await yard.claim_one()
        await yard.settle(lease, Done(value))
        (record,) = await yard.listed(JobQuery())
        assert record.result == value

    @clause("ALL-3")
    @each_value
    async def test_bytes_of_edits_come_back_as_given(self, yard: Yard, value: bytes) -> None:
        await yard.add(spec("a", payload=b"old"))
        await yard.change("a", SetPayload(value))
        lease = await yard.claim_one()
        assert lease.payload == value
        await yard.change("a", SetProgress(value))
        await yard.settle(lease, Failed(Reason.REFUSED, value))
        record = await yard.job("a")
        assert record.progress == value
        assert record.error == value

    @clause("ALL-3")
    @each_value
    async def test_bytes_of_schedules_and_events_come_back_as_given(
        self, yard: Yard, value: bytes
    ) -> None:
        await yard.backend.put_schedules([ScheduleRecord(key="s", definition=value, next_at=1)])
        (schedule,) = (await yard.backend.schedules()).items
        assert schedule.definition == value
        lease = await yard.running(spec("a"))
        start = await yard.subscribe()
        await yard.settle(lease, Done(value))
        told = [event.data for event in await yard.events(start) if event.kind == "completed"]
        assert told == [value]

    @clause("ALL-3")
    @pytest.mark.case("B01")
    async def test_no_bytes_are_not_empty_bytes(self, yard: Yard) -> None:
        await yard.finish(spec("none"), Done(None))
        await yard.finish(spec("empty"), Done(b""))
        assert (await yard.job("none")).result is None
        assert (await yard.job("empty")).result == b""

    @clause("ALL-4")
    async def test_handles_see_each_other_at_once(self, yard: Yard) -> None:
        other = await yard.another()
        for n in range(10):
            one, two = (yard.backend, other) if n % 2 else (other, yard.backend)
            await one.add([specs(f"j{n}")])
            (record,) = await two.get([f"j{n}"])
            assert record is not None
            (lease,) = (await two.claim(want())).leases
            (record,) = await one.get([f"j{n}"])
            assert record is not None
            assert record.state is JobState.ACTIVE
            await one.settle([settlement(lease, Done())])
            assert list(await two.extend([lease], ttl_ms=5)) == [Hold.LOST]

    @clause("ALL-4")
    async def test_namespaces_see_nothing_of_each_other(self, yard: Yard) -> None:
        foreign = await yard.another(namespace=f"{yard.namespace}_b")
        await foreign.prepare()
        start = await foreign.subscribe("suite", ttl_ms=3_600_000)
        lease = await yard.running(spec("a", payload=b"mine"))
        await yard.backend.beat(worker("w"), ttl_ms=5_000)
        await yard.backend.put_schedules([ScheduleRecord(key="s", definition=b"", next_at=1)])
        await yard.backend.control("p", Pause())
        assert list(await foreign.queues()) == []
        assert list(await foreign.get(["a"])) == [None]
        assert (await foreign.find(JobQuery())).items == ()
        assert (await foreign.claim(want())).leases == ()
        assert (await foreign.schedules()).items == ()
        assert list(await foreign.workers()) == []
        assert (await foreign.events(after=start)).events == ()
        assert list(await foreign.extend([lease], ttl_ms=1)) == [Hold.LOST]
        yard.pass_ms(3_600_000)
        assert list(await foreign.reap(limit=10)) == []
        assert (await foreign.metrics(QUEUE, since=START, until=yard.now)).total.added == 0
        await foreign.add([specs("a", queue="p")])
        assert ids((await foreign.claim(want("p"))).leases) == ["a"]
        assert (await yard.job("a")).queue == QUEUE

    @clause("ALL-5")
    async def test_many_calls_may_be_in_flight(self, yard: Yard) -> None:
        adds = [yard.backend.add([specs(f"j{n}")]) for n in range(60)]
        looks = [yard.backend.queues() for _ in range(20)]
        claims = [yard.backend.claim(want(limit=1)) for _ in range(30)]
        calls = [*adds, *looks, *claims]
        await asyncio.gather(*random.Random(2).sample(calls, len(calls)))
        counts = (await yard.info()).counts
        assert counts.total == 60
        left = await yard.claim()
        assert len(left) == counts.waiting == 60 - counts.active

    @clause("ALL-5")
    async def test_a_cancelled_caller_leaves_the_handle_usable(self, yard: Yard) -> None:
        for turn in TURNS:
            async with _cancelled(turn):
                await asyncio.gather(
                    yard.backend.add([specs(f"x{turn}")]),
                    yard.backend.claim(want("nothing")),
                    yard.backend.reap(limit=10),
                    yard.backend.queues(),
                    yard.backend.find(JobQuery()),
                )
            async with asyncio.timeout(60):
                await yard.add(spec(f"y{turn}"))
                assert (await yard.job(f"y{turn}")).state is JobState.WAITING

    @clause("ALL-6")
    async def test_every_call_may_be_repeated(self, yard: Yard) -> None:
        schedule = ScheduleRecord(key="s", definition=b"", next_at=1)
        for _ in range(2):
            await yard.backend.add([specs("a", "b")])
            await yard.backend.put_schedules([schedule])
        wish = want(limit=1, lease_id="L")
        (lease,) = await yard.claim(wish)
        assert ids(await yard.claim(wish)) == [lease.job_id]
        for _ in range(2):
            assert list(await yard.backend.extend([lease], ttl_ms=5_000)) == [Hold.HELD]
        for _ in range(2):
            await yard.settle(lease, Retried(60_000))
        fired = [
            await yard.backend.fire("s", expected=1, next_at=2, jobs=specs("c")) for _ in range(2)
        ]
        assert [answer is not None for answer in fired] == [True, False]
        counts = (await yard.info()).counts
        assert (counts.waiting, counts.delayed, counts.total) == (2, 1, 3)
        assert (await yard.job("a")).failures == 1

    @clause("ALL-6")
    async def test_a_store_cut_off_says_so_and_comes_back(self, yard: Yard) -> None:
        await yard.add(spec("a"))
        if not await yard.harness.cut():
            pytest.skip(f"{NOT_CLAIMED}cut() and heal() of the harness")
        with pytest.raises(BackendError) as raised:
            async with asyncio.timeout(60):
                await yard.add(spec("b"))
        assert raised.value.transient
        await yard.harness.heal()
        async with asyncio.timeout(60):
            await _answers(yard.backend)
        await yard.add(spec("b"))
        assert await yard.claimed_ids() == ["a", "b"]

    @clause("ALL-7")
    async def test_a_claim_costs_no_more_for_what_it_may_not_take(self, yard: Yard) -> None:
        await yard.add(spec("mine", name="mine"))
        mine = want(Source(queue=QUEUE, names=("mine",), channels=("",)), "paused", limit=1)
        await yard.backend.control("paused", Pause())
        before = await self._cost(yard, mine)
        await yard.backend.add(
            [
                tuple(spec(name="foreign", priority=50) for _ in range(FOREIGN)),
                tuple(spec(name="mine", delay_ms=10**9) for _ in range(FOREIGN)),
                tuple(spec(name="mine", queue="paused", priority=90) for _ in range(FOREIGN)),
                tuple(spec(name="mine", channel="far", priority=50) for _ in range(FOREIGN)),
                tuple(spec(name="mine", queue="elsewhere") for _ in range(FOREIGN)),
            ]
        )
        # The bound is wide, and the best of some tries is taken, since other programs run beside:
        # a claim that looks at each foreign job costs a hundred times more each time.
        costs: list[float] = []
        while not costs or (min(costs) >= 8 * before + 0.000_5 and len(costs) < TRIES):
            costs.append(await self._cost(yard, mine))
        assert min(costs) < 8 * before + 0.000_5

    async def _cost(self, yard: Yard, wish: Claim) -> float:
        took: list[float] = []
        for _ in range(ROUNDS):
            new = msgspec.structs.replace(wish, lease_id=want().lease_id)
            started = time.perf_counter()
            claimed = await yard.backend.claim(new)
            took.append(time.perf_counter() - started)
            assert ids(claimed.leases) == ["mine"]
            await yard.settle(claimed.leases[0], Released())
        return median(took)


@asynccontextmanager
async def _cancelled(turns: int) -> AsyncIterator[None]:
    """Run the block as a caller that is cancelled after some turns of the event loop."""
    task = asyncio.current_task()
    assert task is not None

    async def cancel() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()

    canceller = asyncio.ensure_future(cancel())
    try:
        yield
    except asyncio.CancelledError:
        task.uncancel()
    finally:
        canceller.cancel()


async def _answers(handle: Backend) -> None:
    while True:
        try:
            await handle.ping()
        except BackendError:
            await asyncio.sleep(0.05)
        else:
            return
