"""Limits that a worker keeps together with others: rates of handlers, and `RateLimited`."""

from __future__ import annotations

import asyncio
import logging

import pytest

from jobyard import JobState, RateLimit, RateLimited
from jobyard.edits import Control
from jobyard.errors import BackendUnavailable, InvalidOption, Unsupported
from jobyard.limit import HoldBack, Limit, Rate


def limited_process(job):
    raise RateLimited(2, only_name=True)


async def test_workers_keep_the_rate_of_a_handler_together(yard) -> None:
    async def handler(job):
        return None

    yard.handle(yard.noting(handler), rate=RateLimit(2, per=10))
    ids = [await yard.add(n) for n in range(6)]
    async with yard.working(), yard.working():
        starts = [(await yard.until(each)).started_at for each in ids]
    assert [round(start - starts[0], -3) for start in starts] == [
        0,
        0,
        10_000,
        10_000,
        20_000,
        20_000,
    ]
    assert all(later - sooner >= 10_000 for sooner, later in zip(starts, starts[2:], strict=False))
    assert len(yard.starts) == 6


async def test_a_rate_is_declared_before_anything_is_claimed_and_keeps_the_rest(yard) -> None:
    async def handler(job):
        return None

    await yard.service.limit_name("q", "job", concurrency=1)
    yard.handle(handler, rate=RateLimit(5, per=1))
    await yard.service.run_until_idle()
    (limit,) = await yard.service.list_limits("q")
    assert (limit.name, limit.concurrency, limit.rate) == ("job", 1, RateLimit(5, 1.0))
    yard.handle(handler, rate=RateLimit(6, per=1), replace=True)
    await yard.service.run_until_idle()
    (limit,) = await yard.service.list_limits("q")
    assert (limit.concurrency, limit.rate) == (1, RateLimit(6, 1.0))


async def test_a_rate_of_a_handler_that_comes_later_is_declared(yard) -> None:
    async def handler(job):
        return None

    async with yard.working():
        yard.handle(handler, name="late", rate=RateLimit(1, per=60))
        first, second = await yard.add(1, name="late"), await yard.add(2, name="late")
        await yard.until(first)
        assert (await yard.record(second)).state is JobState.WAITING
        await yard.until(second)
    assert yard.now >= 60


@pytest.mark.parametrize("only_name", [True, False])
async def test_a_handler_that_met_a_limit_holds_its_queue(yard, only_name: bool) -> None:
    async def handler(job):
        if job.data == "first" and not yard.starts[1:]:
            raise RateLimited(7, only_name=only_name)

    other_ran = []

    async def other(job):
        other_ran.append(yard.now)

    yard.handle(yard.noting(handler))
    yard.handle(other, name="other")
    first, second = await yard.add("first"), await yard.add("second")
    async with yard.working(concurrency=1):
        while not yard.starts:
            await asyncio.sleep(0.01)
        third = await yard.add(name="other")
        records = [await yard.until(each) for each in (first, second, third)]
    assert len(yard.starts) == 3
    assert all(start >= 7 for start in yard.starts[1:])
    assert (other_ran[0] < 7) is only_name
    assert [(r.state, r.failures, r.crashes) for r in records] == [(JobState.COMPLETED, 0, 0)] * 3
    assert records[0].started_at <= records[1].started_at, "it has kept its place"


async def test_a_limit_of_no_time_holds_nothing(yard) -> None:
    async def handler(job):
        if not yard.starts[1:]:
            raise RateLimited(0)

    await yard.service.hold_name("q", "other", 60)
    yard.handle(yard.noting(handler))
    (record,) = await yard.run_until([await yard.add()])
    assert record.failures == 0
    assert len(yard.starts) == 2
    (limit,) = await yard.service.list_limits("q")
    assert (limit.name, limit.held_until is not None) == ("other", True)


async def test_a_limit_met_in_a_process_holds_too(yard) -> None:
    from jobyard.worker.child import _run  # what a process answers
    from jobyard.worker.processes import _value_of
    from jobyard.worker.wire import Call

    call = Call(
        module=__name__,
        function="limited_process",
        takes_job=True,
        stack_limit=5,
        id="a",
        queue="q",
        name="n",
        payload=b"1",
        attempt=1,
        attempts=1,
        fence=1,
        headers={},
        tags=(),
    )
    with pytest.raises(RateLimited) as raised:
        _value_of(_run(call))
    assert (raised.value.delay_ms, raised.value.only_name) == (2_000, True)


@pytest.mark.parametrize("error", [BackendUnavailable(), Unsupported()], ids=repr)
async def test_a_store_that_cannot_hold_keeps_the_job_back(
    yard, monkeypatch, caplog, error: Exception
) -> None:
    async def control(queue: str, control: Control) -> None:
        raise error

    monkeypatch.setattr(yard.service.backend, "control", control)

    async def handler(job):
        if not yard.starts[1:]:
            raise RateLimited(30)

    yard.handle(yard.noting(handler))
    with caplog.at_level(logging.ERROR, "jobyard"):
        (record,) = await yard.run_until([await yard.add()])
    assert record.failures == 0
    assert yard.starts[1] >= 30
    assert "could not be held" in caplog.text


async def test_a_store_that_is_away_for_a_while_is_told_of_a_rate(yard, monkeypatch) -> None:
    really, failures = yard.service.backend.control, [3]

    async def control(queue: str, wish: Control) -> None:
        failures[0] -= 1
        if failures[0] >= 0:
            raise BackendUnavailable
        await really(queue, wish)

    monkeypatch.setattr(yard.service.backend, "control", control)
    yard.handle(_nothing, rate=RateLimit(1, per=5))
    ids = [await yard.add(n) for n in range(2)]
    records = await yard.run_until(ids)
    assert records[1].started_at - records[0].started_at >= 5_000


async def _nothing(job) -> None:
    return None


async def test_a_store_without_limits_refuses_a_handler_with_a_rate(yard, monkeypatch) -> None:
    async def control(queue: str, wish: Control) -> None:
        assert isinstance(wish, Limit | HoldBack)
        raise Unsupported

    monkeypatch.setattr(yard.service.backend, "control", control)
    yard.handle(_nothing, rate=RateLimit(1, per=5))
    job_id = await yard.add()
    with pytest.raises(Unsupported):
        await yard.worker().run()
    assert (await yard.record(job_id)).state is JobState.WAITING


async def test_a_rate_of_a_definition_is_its_handlers_or_its_jobs(yard) -> None:
    @yard.service.job("q", rate=RateLimit(3, per=1))
    async def of_handler(payload: int) -> None:
        return None

    @yard.service.job("q", rate=RateLimit(3, per=1, key="k"))
    async def of_jobs(payload: int) -> None:
        return None

    rates = {handler.name: handler.rate for handler in yard.service.handlers}
    assert rates == {"of_handler": Rate(3, 1_000), "of_jobs": None}
    assert (await of_handler.enqueue(1)).outcome == "created"
    assert (await of_jobs.enqueue(1)).outcome == "created"


async def test_impossible_rates_are_refused(yard) -> None:
    for bad in (RateLimit(1, 1, "key"), Rate(1, 1), 3):
        with pytest.raises(InvalidOption):
            yard.handle(_nothing, rate=bad)
    for count, per in ((0, 1), (1, 0), (True, 1), (1, "s")):
        with pytest.raises(InvalidOption):
            RateLimit(count, per)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption):
        RateLimited(-1)
