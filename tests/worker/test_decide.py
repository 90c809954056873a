"""The table of decisions: how a run ended, why it was stopped, what the store is told."""

import asyncio
from typing import Any

import pytest

from jobyard import Backoff, Discard, Reason, Retry, Snooze
from jobyard.failure import JobError, unpack_error
from jobyard.lease import (
    Cancelled,
    Done,
    Failed,
    Lease,
    Outcome,
    Released,
    Retried,
    Snoozed,
    Stalled,
)
from jobyard.options import RunOptions
from jobyard.worker.decide import (
    Abandoned,
    Case,
    Ended,
    NoHandler,
    Raised,
    Returned,
    Stop,
    Unreadable,
    decide,
)
from jobyard.worker.wire import FromProcess


def case(*, attempts: int = 3, failures: int = 0, **options: Any) -> Case:
    lease = Lease("j", "l", 1, 1, 0, "q", "n", "", b"1", b"", 0, attempts, 3, failures, 0, 0, 0, 0)
    backoff = Backoff.exponential(1.0, jitter=0)
    run_options = RunOptions(backoff=backoff, timeout_ms=500, **options)
    return Case(lease=lease, options=run_options, store_now=1_000, draw=lambda: 0.5)


RETURNED = Returned(None)
VALUE = Returned({"a": 1})
MARKED = Returned(None, "bad")
ERROR = Raised(ValueError("bad"))
CUT = Raised(asyncio.CancelledError())
SNOOZED = Raised(Snooze(5))
RETRIED = Raised(Retry(delay=5))
DISCARDED = Raised(Discard())
GONE = Abandoned()

RETRY = (Retried, 1_000)
DONE = (Done, None)
RELEASED = (Released, None)
CANCELLED = (Cancelled, None)
NOTHING = (type(None), None)
EXPIRED = (Failed, Reason.EXPIRED)
REFUSED = (Failed, Reason.REFUSED)
SNOOZE = (Snoozed, 5_000)
LATER = (Retried, 5_000)

# The ends in a row are those of ENDS, below.
TABLE: dict[Stop | None, list[tuple[type, Any]]] = {
    None: [DONE, RETRY, RETRY, RETRY, SNOOZE, LATER, REFUSED, RELEASED],
    Stop.TIMEOUT: [RETRY] * 8,
    Stop.EXPIRED: [EXPIRED] * 8,
    Stop.CANCELLED: [DONE, *[CANCELLED] * 7],
    Stop.SHUTDOWN: [DONE, RETRY, RELEASED, RELEASED, SNOOZE, LATER, REFUSED, RELEASED],
    Stop.OVERDUE: [DONE, RETRY, RELEASED, RELEASED, SNOOZE, LATER, REFUSED, RELEASED],
    Stop.LOST: [NOTHING] * 8,
}
ENDS: list[Ended] = [RETURNED, MARKED, ERROR, CUT, SNOOZED, RETRIED, DISCARDED, GONE]


def shape(outcome: Outcome | None) -> tuple[type, Any]:
    detail = getattr(outcome, "delay_ms", getattr(outcome, "reason", None))
    return type(outcome), detail


@pytest.mark.parametrize(
    ("stop", "ended", "expected"),
    [
        (stop, ended, expected)
        for stop, row in TABLE.items()
        for ended, expected in zip(ENDS, row, strict=True)
    ],
)
def test_every_end_under_every_stop(
    stop: Stop | None, ended: Ended, expected: tuple[type, Any]
) -> None:
    assert shape(decide(case(), ended, stop=stop)) == expected


def test_the_table_knows_every_stop() -> None:
    assert set(TABLE) == {None, *Stop}


@pytest.mark.parametrize("ended", [ERROR, MARKED, CUT, RETRIED])
def test_the_last_attempt_that_fails_ends_the_job(ended: Ended) -> None:
    assert shape(decide(case(failures=2), ended)) == (Failed, Reason.EXHAUSTED)


def test_a_timeout_of_the_last_attempt_ends_the_job() -> None:
    assert shape(decide(case(failures=2), CUT, stop=Stop.TIMEOUT)) == (Failed, Reason.EXHAUSTED)


@pytest.mark.parametrize(("failures", "delay"), [(0, 1_000), (1, 2_000), (2, 4_000)])
def test_the_backoff_grows_with_the_failures(failures: int, delay: int) -> None:
    assert shape(decide(case(attempts=9, failures=failures), ERROR)) == (Retried, delay)


@pytest.mark.parametrize("ended", ENDS)
def test_a_timeout_may_stall(ended: Ended) -> None:
    outcome = decide(case(on_timeout="stall"), ended, stop=Stop.TIMEOUT)

    assert isinstance(outcome, Stalled)
    assert error_of(outcome).message == "ran longer than 0.5 s"


def test_results_are_encoded() -> None:
    assert decide(case(), VALUE) == Done(b'{"a":1}')
    assert decide(case(), Returned(0)) == Done(b"0")


def test_what_never_ran_ends_without_a_retry() -> None:
    assert shape(decide(case(), Unreadable(ValueError()))) == (Failed, Reason.CORRUPT)
    assert shape(decide(case(), NoHandler())) == (Failed, Reason.ORPHANED)


@pytest.mark.parametrize(("at_ms", "delay"), [(6_000, 5_000), (1_000, 0), (0, 0)])
def test_a_snooze_until_an_instant_counts_from_the_stores_time(at_ms: int, delay: int) -> None:
    snooze = Snooze(0)
    snooze.at_ms, snooze.delay_ms = at_ms, None

    assert decide(case(), Raised(snooze)) == Snoozed(delay)


def test_an_error_from_a_process_is_stored_as_it_was_described_there() -> None:
    described = JobError(type="app.Odd", message="odd", traceback="there")
    discarded = Discard("odd")
    discarded.__cause__ = FromProcess(described)

    assert error_of(decide(case(), Raised(FromProcess(described)))) == described
    assert error_of(decide(case(), Raised(discarded))) == described


def error_of(outcome: Any) -> JobError:
    error = unpack_error(outcome.error)
    assert error is not None
    return error
