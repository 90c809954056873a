"""T01, T02, T04 to T06: clocks that are wrong, go back, or stand still, and odd instants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.faults.handles import opened
from tests.patience import PATIENCE
from tests.virtual import VirtualLoop

from jobyard import Job, QueueService
from jobyard.backend import Backend
from jobyard.clock import ManualClock
from jobyard.errors import InvalidOption
from jobyard.lease import Done, Settled
from jobyard_conformance.builders import settlement, spec, specs, want

HOUR_MS = 3_600_000


@pytest.mark.parametrize("hours", [1, -1])
@pytest.mark.parametrize("shared_url", ["postgres", "redis"], indirect=True)
@pytest.mark.case("T01", "T02", on=("postgres", "redis"))
async def test_the_clock_of_a_workers_host_changes_nothing(
    shared_url: str, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, true_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: true() + hours * 3_600)
    monkeypatch.setattr(time, "time_ns", lambda: true_ns() + hours * 3_600 * 10**9)
    ran: list[tuple[str, int]] = []
    service = QueueService(shared_url)

    @service.handler("q", "n")
    async def n(job: Job) -> None:
        ran.append((job.name, job.attempt))
        if job.attempt == 1:
            raise ValueError

    @service.handler("q", "held")
    async def held(job: Job) -> None: ...

    async with service:
        before = (await service.health()).now
        left = await service.add_job("q", "held")
        (_,) = await service.claim("q", lease=0.2)  # by somebody who does not come back
        job = await service.add_job("q", "n", delay=0.3, attempts=2, backoff=0.1)
        async with service.worker(lease=3_600, poll_interval=0.05):
            await asyncio.gather(job.wait(timeout=PATIENCE), left.wait(timeout=PATIENCE))
        ended = await job.refresh()
        after = (await service.health()).now
        assert (await left.refresh()).crashes == 1
    assert ran == [("n", 1), ("n", 2)]
    instants = (ended.created_at, ended.started_at, ended.finished_at)
    shown = [round(at.timestamp() * 1000) for at in instants if at is not None]
    assert len(shown) == 3
    assert shown == sorted(shown)
    assert before <= shown[0]
    assert shown[-1] <= after
    assert shown[1] - shown[0] >= 380, "the delay, and the backoff less its jitter"


@pytest.mark.case("T04", on=("memory", "postgres", "redis"))
async def test_a_store_whose_clock_is_set_back_runs_nothing_early_and_loses_no_lease(
    backend: Backend, clock: ManualClock, url: str
) -> None:
    """One handle goes by the time as it was before, another as it was set back by an hour."""
    await backend.add([(spec("later", delay_ms=HOUR_MS // 2),), (spec("held"),)])
    (held,) = (await backend.claim(want(ttl_ms=10_000))).leases
    async with opened(url, clock=ManualClock(clock.now_ms() - HOUR_MS)) as back:
        assert (await back.claim(want())).leases == ()
        assert list(await back.reap(limit=10)) == []
        await back.add([specs("new")])
        (new,) = (await back.claim(want())).leases
        assert new.job_id == "new"
        assert (await back.settle([settlement(new, Done())])).results == (Settled.OK,)
    clock.advance(ms=10_000)
    assert [each.job_id for each in await backend.reap(limit=10)] == [held.job_id]


@pytest.mark.case("T05")
def test_a_clock_that_stands_still_makes_nobody_spin() -> None:
    calls = 0

    async def test() -> None:
        nonlocal calls
        service = QueueService("memory://", clock=ManualClock())
        service.handler("q", "n")(lambda job: None)
        async with service:
            store: Any = service.backend
            store.claim = counted(store.claim)
            job = await service.add_job("q", "n", delay=0.5)
            async with service.worker(poll_interval=1):
                await asyncio.sleep(100)
            assert (await job.refresh()).state == "delayed"

    def counted(claim: Callable[..., Any]) -> Callable[..., Any]:
        async def counting(*args: Any, **rest: Any) -> Any:
            nonlocal calls
            calls += 1
            return await claim(*args, **rest)

        return counting

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(test())
    assert calls < 250


@pytest.mark.case("T06")
async def test_an_instant_is_due_at_once_or_kept_to_the_millisecond(service: QueueService) -> None:
    now = datetime.fromtimestamp((await service.health()).now / 1000, UTC)
    far = datetime(2100, 2, 28, 23, 59, 59, 999_000, UTC)
    for due in (now, now - timedelta(hours=1), datetime(1969, 7, 20, tzinfo=UTC)):
        assert (await service.add_job("q", "n", run_at=due)).state == "waiting"
    later = await service.add_job("q", "n", run_at=far)
    assert (later.state, (await later.refresh()).due_at) == ("delayed", far)
    with pytest.raises(InvalidOption):
        await service.add_job("q", "n", run_at=datetime(9999, 12, 31, tzinfo=UTC))
