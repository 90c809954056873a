"""How runs end, and when the next one follows."""

import asyncio
import contextvars
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobyard import Backoff, Discard, Job, JobState, Reason, Retry, Snooze, Unrecoverable
from jobyard.errors import ConfigError

EXACT = Backoff.exponential(1.0, jitter=0)


async def fails(job: Job) -> None:
    raise ValueError(f"no {job.data}")


@pytest.mark.parametrize("value", [None, 0, False, "", [], {"a": [1, None]}, 1.5, "text"])
async def test_the_value_returned_is_the_result(yard: Any, value: Any) -> None:
    async def handler(job: Job) -> Any:
        return job.data

    yard.handle(handler)
    job = await yard.service.add_job("q", "job", value)

    (record,) = await yard.run_until([job.id])

    assert record.state is JobState.COMPLETED
    assert (await job.refresh()).result == value


@pytest.mark.parametrize(("options", "runs"), [({}, 1), ({"attempts": 3}, 3), ({"retries": 2}, 3)])
async def test_a_job_that_always_fails_runs_as_often_as_it_may(
    yard: Any, options: dict[str, int], runs: int
) -> None:
    yard.handle(yard.noting(fails))
    job_id = await yard.add(**options)

    (record,) = await yard.run_until([job_id])

    assert len(yard.starts) == runs
    assert (record.state, record.reason, record.failures) == (
        JobState.FAILED,
        Reason.EXHAUSTED,
        runs,
    )


async def test_exponential_gaps_are_exact(yard: Any) -> None:
    yard.handle(yard.noting(fails))
    job_id = await yard.add(attempts=4, backoff=EXACT)

    await yard.run_until([job_id])

    assert yard.starts == pytest.approx([0, 1, 3, 7], abs=0.003)


async def test_fixed_gaps_are_exact(yard: Any) -> None:
    yard.handle(yard.noting(fails))
    job_id = await yard.add(attempts=3, backoff=2.25)

    await yard.run_until([job_id])

    assert yard.starts == pytest.approx([0, 2.25, 4.5], abs=0.002)


async def test_backoff_zero_runs_at_once_and_never_twice_at_a_time(yard: Any) -> None:
    running = most = 0

    async def handler(job: Job) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        raise ValueError

    yard.handle(handler)
    job_id = await yard.add(attempts=50, backoff=0)
    async with yard.working(), yard.working(), yard.working(), yard.working():
        record = await yard.until(job_id)

    assert (record.failures, most) == (50, 1)


async def test_a_delayed_job_starts_when_it_is_due(yard: Any) -> None:
    async def handler(job: Job) -> None: ...

    yard.handle(yard.noting(handler))
    ids = [await yard.add(delay=delay) for delay in (0.5, 0.625, 3.25)]

    await yard.run_until(ids)

    assert yard.starts == pytest.approx([0.5, 0.625, 3.25], abs=0.002)


async def test_a_job_added_while_the_worker_idles_starts_at_once(yard: Any) -> None:
    async def handler(job: Job) -> None: ...

    yard.handle(yard.noting(handler))
    async with yard.working(poll_interval=3600):
        await asyncio.sleep(100)
        await yard.until(await yard.add())

    assert yard.starts == [100]


@pytest.mark.parametrize("error", [Unrecoverable("why"), Discard("why")])
async def test_what_no_retry_can_mend_fails_at_once(yard: Any, error: Exception) -> None:
    async def handler(job: Job) -> None:
        raise error

    yard.handle(yard.noting(handler))
    job_id = await yard.add(attempts=5)

    (record,) = await yard.run_until([job_id])

    assert (record.state, record.reason, len(yard.starts)) == (JobState.FAILED, Reason.REFUSED, 1)
    assert (await yard.error(job_id)).message == "why"


async def test_a_retry_may_name_its_delay(yard: Any) -> None:
    async def handler(job: Job) -> None:
        raise Retry(delay=5)

    yard.handle(yard.noting(handler))
    job_id = await yard.add(attempts=3)

    (record,) = await yard.run_until([job_id])

    assert yard.starts == pytest.approx([0, 5, 10], abs=0.002)
    assert record.reason is Reason.EXHAUSTED


async def test_a_snooze_counts_nothing(yard: Any) -> None:
    async def handler(job: Job) -> None:
        if yard.now < 60:
            raise Snooze(timedelta(seconds=30))

    yard.handle(yard.noting(handler))
    job_id = await yard.add()

    (record,) = await yard.run_until([job_id])

    assert (yard.starts, record.failures) == (pytest.approx([0, 30, 60], abs=0.002), 0)


async def test_a_snooze_until_an_instant(yard: Any) -> None:
    until = datetime.fromtimestamp(1_700_000_090, UTC)

    async def handler(job: Job) -> None:
        if yard.now < 60:
            raise Snooze(until)

    yard.handle(yard.noting(handler))

    await yard.run_until([await yard.add()])

    assert yard.starts == pytest.approx([0, 90], abs=0.002)


async def test_a_run_marked_as_failed_fails_and_is_tried_again(yard: Any) -> None:
    async def handler(job: Job) -> str:
        job.mark_failed("not good enough")
        return "ignored"

    yard.handle(yard.noting(handler))
    job_id = await yard.add(attempts=2, backoff=1)

    (record,) = await yard.run_until([job_id])

    assert yard.starts == pytest.approx([0, 1], abs=0.002)
    assert (record.state, record.result) == (JobState.FAILED, None)
    assert (await yard.error(job_id)).message == "not good enough"


async def test_error_and_traceback_are_stored(yard: Any) -> None:
    yard.handle(fails)
    job_id = await yard.add("luck")

    await yard.run_until([job_id])
    error = await yard.error(job_id)

    assert (error.type, error.message) == ("ValueError", "no luck")
    assert "in fails" in error.traceback
    assert "jobyard/worker" not in error.traceback


async def test_stack_limit_cuts_the_traceback(yard: Any) -> None:
    yard.handle(fails)
    job_id = await yard.add("luck", stack_limit=0)

    await yard.run_until([job_id])

    assert (await yard.error(job_id)).traceback == ""


class Odd(BaseException):
    pass


class Hostile(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "error",
    [
        Odd("odd"),
        SystemExit(3),
        GeneratorExit(),
        asyncio.CancelledError(),
        Hostile(),
        ExceptionGroup("several", [ValueError(1), KeyError(2)]),
        StopIteration(1),
        StopAsyncIteration(),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.case("F18", "F22", "B24")
async def test_whatever_is_raised_is_a_failure_and_the_worker_lives(
    yard: Any, error: BaseException, waits: bool
) -> None:
    async def handler(job: Job) -> None:
        if waits:
            await asyncio.sleep(0.01)
        if job.data == "bad":
            raise error

    yard.handle(handler)
    bad = await yard.add("bad")
    good = [await yard.add("good") for _ in range(20)]

    record, *others = await yard.run_until([bad, *good], concurrency=1)

    assert (record.state, record.reason) == (JobState.FAILED, Reason.EXHAUSTED)
    assert {other.state for other in others} == {JobState.COMPLETED}


async def test_a_handler_that_cancels_itself_harms_no_other_job(yard: Any) -> None:
    async def handler(job: Job) -> None:
        if job.data == "bad":
            await asyncio.sleep(0)
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            return
        await asyncio.sleep(0.01)

    yard.handle(handler)
    ids = [await yard.add("bad"), await yard.add("good"), await yard.add("good")]

    records = await yard.run_until(ids, concurrency=1)

    assert {record.state for record in records} == {JobState.COMPLETED}


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), "x" * 70_000, object(), {1: 2}, b"x"])
async def test_a_result_that_cannot_be_stored_fails_once(yard: Any, value: Any) -> None:
    async def handler(job: Job) -> Any:
        return value

    yard.handle(yard.noting(handler))
    job_id = await yard.add(attempts=5)

    (record,) = await yard.run_until([job_id])

    assert (record.state, record.reason, len(yard.starts)) == (JobState.FAILED, Reason.REFUSED, 1)
    assert "the result" in (await yard.error(job_id)).message


async def test_a_payload_that_cannot_be_read_fails_without_a_call(yard: Any) -> None:
    from jobyard.job import JobSpec

    async def handler(job: Job) -> None: ...

    yard.handle(yard.noting(handler))
    spec = JobSpec(id="bad", queue="q", name="job", payload=b"{", attempts=9)
    worse = JobSpec(id="worse", queue="q", name="job", payload=b"1", options=b"{", attempts=9)
    await yard.service.backend.add([(spec,), (worse,)])

    records = await yard.run_until(["bad", "worse", await yard.add()])

    assert [record.reason for record in records] == [Reason.CORRUPT, Reason.CORRUPT, None]
    assert len(yard.starts) == 1


async def test_a_handler_without_parameters_is_called_without_the_job(yard: Any) -> None:
    async def handler() -> str:
        return "fine"

    yard.handle(handler)

    (record,) = await yard.run_until([await yard.add()])

    assert record.result == b'"fine"'


def _by_name_alone(*, job: Job) -> None: ...


def _two(job: Job, other: int) -> None: ...


async def _yields(job: Job) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "said"),
    [(_two, "other"), (_by_name_alone, "job"), (_yields, "yields")],
)
@pytest.mark.case("B12")
async def test_a_handler_that_no_job_could_be_given_to_is_refused_where_it_is_written(
    yard: Any, function: Any, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        yard.handle(function)


@pytest.mark.case("B12")
async def test_a_handler_with_other_parameters_fails_with_a_clear_error(yard: Any) -> None:
    async def inner(job: Job, other: int) -> None: ...

    async def handler(*args: Any) -> None:
        await inner(*args)

    yard.handle(handler)
    job_id = await yard.add()

    (record,) = await yard.run_until([job_id])

    assert record.state is JobState.FAILED
    assert "other" in (await yard.error(job_id)).message


async def test_context_variables_do_not_leak_from_job_to_job(yard: Any) -> None:
    seen: list[str] = []
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

    async def handler(job: Job) -> None:
        seen.append(who.get())
        who.set(job.id)
        await asyncio.sleep(0.01)
        seen.append(who.get())

    yard.handle(handler)
    ids = [await yard.add() for _ in range(3)]

    await yard.run_until(ids, concurrency=1)

    assert seen == ["nobody", ids[0], "nobody", ids[1], "nobody", ids[2]]
