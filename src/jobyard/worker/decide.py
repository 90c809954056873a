"""What becomes of a run: pure decisions, from how it ended to what the store is told."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, assert_never

from jobyard import codec
from jobyard.backoff import Backoff
from jobyard.errors import PayloadError
from jobyard.failure import describe, pack_error
from jobyard.job import Reason
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
from jobyard.signals import Discard, RateLimited, Retry, Signal, Snooze
from jobyard.worker.wire import FromProcess

__all__ = ["DONE", "Abandoned", "Ended", "NoHandler", "Raised", "Returned", "Stop", "Unreadable"]

RESULT_LIMIT: Final = 64 * 1024

DONE: Final = Done()
"""The end of nearly every run, shared."""

RELEASED: Final = Released()
CANCELLED: Final = Cancelled()


class Stop(Enum):
    """Why a worker ended a run; the value is what the run's token gives as its reason."""

    TIMEOUT = "timeout"
    """It ran for longer than it may."""
    EXPIRED = "expired"
    """The job's time to live ran out."""
    CANCELLED = "cancelled"
    """Somebody asked for it."""
    SHUTDOWN = "shutdown"
    """The worker ends."""
    OVERDUE = "overdue"
    """The lease was not renewed in time: another worker may have the job by now."""
    LOST = "lost"
    """The store said that the lease is lost."""


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler returned; `marked` is why it marked the run as failed, if it did."""

    value: object
    marked: str | None = None


@dataclass(frozen=True, slots=True)
class Raised:
    """The handler raised."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The handler did not end when told to; the worker waits for it no longer."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The job's payload or options could not be decoded; the handler was not called."""

    error: Exception


@dataclass(frozen=True, slots=True)
class NoHandler:
    """No handler of the job's name is registered."""


Ended = Returned | Raised | Abandoned | Unreadable | NoHandler


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A run to decide on: its lease and options, the store's time now, and a source of chance."""

    lease: Lease
    options: RunOptions
    store_now: int
    draw: Callable[[], float] = random.random
    on_error: Mapping[type[BaseException], Backoff | None] = field(default_factory=dict)

    def last_failure(self, reason: Reason, error: BaseException) -> Failed:
        """End the job."""
        return Failed(reason, self.pack(error))

    def failure(self, error: BaseException, *, delay_ms: int | None = None) -> Outcome:
        """Count a failed run: another attempt if there is one left, else the end."""
        failures = self.lease.failures + 1
        if failures >= self.lease.attempts:
            return self.last_failure(Reason.EXHAUSTED, error)
        if delay_ms is None:
            delay_ms = self.options.backoff.delay_ms(failures=failures, draw=self.draw)
        return Retried(max(0, delay_ms), self.pack(error))

    def by_class(self, error: BaseException) -> Outcome:
        """Count a failed run as the handler has it for errors of this class, the nearest first."""
        for kind in type(error).__mro__:
            if kind in self.on_error:
                backoff = self.on_error[kind]
                if backoff is None:
                    return self.last_failure(Reason.REFUSED, error)
                failures = self.lease.failures + 1
                delay_ms = backoff.delay_ms(failures=failures, draw=self.draw)
                return self.failure(error, delay_ms=delay_ms)
        return self.failure(error)

    def pack(self, error: BaseException) -> bytes:
        """Encode an error as the job's options want it."""
        if isinstance(error, FromProcess):
            return pack_error(error.error)
        if isinstance(error.__cause__, FromProcess):
            return pack_error(error.__cause__.error)
        return pack_error(describe(error, stack_limit=self.options.stack_limit))


def decide(case: Case, ended: Ended, *, stop: Stop | None = None) -> Outcome | None:
    """Tell how a run is settled, `None` when there is nothing to settle.

    `stop` is why the worker ended the run, if it did: a time limit stands whatever the handler made
    of it; a handler that returns in spite of a cancellation or a shutdown has done its job.
    """
    match stop:
        case None:
            return _by_end(case, ended)
        case Stop.TIMEOUT:
            return _timed_out(case, ended)
        case Stop.EXPIRED:
            return Failed(Reason.EXPIRED, case.pack(_told("its time to live ran out", ended)))
        case Stop.CANCELLED:
            return _by_end(case, ended) if _has_returned(ended) else CANCELLED
        case Stop.SHUTDOWN | Stop.OVERDUE:
            return _by_end(case, ended) if _is_meant(ended) else RELEASED
        case Stop.LOST:
            return None
        case _:
            assert_never(stop)


def _by_end(case: Case, ended: Ended) -> Outcome:
    match ended:
        case Returned(value, None):
            return _done(case, value)
        case Returned(_, marked):
            return case.failure(RuntimeError(marked))
        case Raised(error):
            return _raised(case, error)
        case Unreadable(error):
            return case.last_failure(Reason.CORRUPT, error)
        case NoHandler():
            lease = case.lease
            error = LookupError(f"{lease.queue} has no handler for {lease.name or '(unnamed)'}")
            return case.last_failure(Reason.ORPHANED, error)
        case Abandoned():
            return RELEASED
        case _:
            assert_never(ended)


def _done(case: Case, value: object) -> Outcome:
    """Encode the result; one that cannot be stored would be no better from a further run."""
    if value is None:
        return DONE
    try:
        return Done(codec.encode(value, limit=RESULT_LIMIT, what="the result"))
    except PayloadError as error:
        return case.last_failure(Reason.REFUSED, error.with_traceback(None))


def _raised(case: Case, error: BaseException) -> Outcome:
    match error:
        case Retry(delay_ms=delay_ms):
            return case.failure(error, delay_ms=delay_ms)
        case Snooze(at_ms=int(at_ms)):
            return Snoozed(max(0, at_ms - case.store_now))
        case Snooze(delay_ms=delay_ms):
            return Snoozed(delay_ms or 0)
        case RateLimited():
            return RELEASED  # once the queue is held: the job keeps its place
        case Discard():
            return case.last_failure(Reason.REFUSED, error)
        case _:
            return case.by_class(error)


def _timed_out(case: Case, ended: Ended) -> Outcome:
    limit_ms = case.options.timeout_ms or 0
    error = _told(f"ran longer than {limit_ms / 1000:g} s", ended)
    match case.options.on_timeout:
        case "fail":
            return case.failure(error)
        case "stall":
            return Stalled(case.pack(error))


def _told(message: str, ended: Ended) -> TimeoutError:
    """Make the error of a time limit; its cause shows where the handler was."""
    error = TimeoutError(message)
    if isinstance(ended, Raised):
        error.__cause__ = ended.error
    return error


def _has_returned(ended: Ended) -> bool:
    return isinstance(ended, Returned) and ended.marked is None


def _is_meant(ended: Ended) -> bool:
    """Whether the handler ended by its own decision and not because it was interrupted."""
    match ended:
        case Returned() | Unreadable() | NoHandler():
            return True
        case Raised(error):
            return isinstance(error, Signal)
        case Abandoned():
            return False
        case _:
            assert_never(ended)
