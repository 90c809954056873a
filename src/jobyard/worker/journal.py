"""What a worker writes to the log: one message an event, the facts in `extra`, no payloads."""

from __future__ import annotations

import logging
from typing import Any, Final

from jobyard.errors import PayloadDecodeError
from jobyard.failure import unpack_error
from jobyard.lease import (
    Cancelled,
    Done,
    Failed,
    Lease,
    Outcome,
    Released,
    Retried,
    Settlement,
    Snoozed,
    Stalled,
)
from jobyard.run import Run
from jobyard.url import LONGEST_SECRET, masked
from jobyard.worker.patience import is_transient

__all__ = ["Journal", "on_one_line"]

log = logging.getLogger("jobyard.worker")

SHORT_LEASE_MS: Final = 1_000

LEVELS: Final[dict[type[Outcome], int]] = {
    Done: logging.DEBUG,
    Snoozed: logging.DEBUG,
    Released: logging.INFO,
    Cancelled: logging.INFO,
    Retried: logging.WARNING,
    Stalled: logging.ERROR,
    Failed: logging.ERROR,
}


class Journal:
    """The log of one worker.

    `is_detailed` tells whether each run is logged; it is looked up once for many runs.
    """

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self.is_detailed = False

    def renew(self) -> None:
        """Look again whether each run is logged."""
        self.is_detailed = log.isEnabledFor(logging.DEBUG)

    # -- runs ---------------------------------------------------------------------------------

    def started(self, run: Run) -> None:
        """Tell that a run has started."""
        self._of_run(logging.DEBUG, run, "run started")

    def ended(self, run: Run, outcome: Outcome | None, ran: float) -> None:
        """Tell how a run has ended."""
        if outcome is None:
            self._of_run(logging.WARNING, run, "run ended without its lease; nothing is settled")
            return
        level = LEVELS[type(outcome)]
        if not log.isEnabledFor(level):
            return
        what = f"run {type(outcome).__name__.lower()}"
        facts: dict[str, Any] = {"seconds": round(ran, 3)}
        match outcome:
            case Retried(delay_ms, packed):
                facts |= {"retry_in": delay_ms / 1000, "error": _shown(packed)}
                what = f"run failed, another follows in {delay_ms / 1000:g} s: {_shown(packed)}"
            case Failed(reason, packed):
                facts |= {"reason": reason, "error": _shown(packed)}
                what = f"job failed ({reason}): {_shown(packed)}"
            case Stalled(packed):
                facts |= {"error": _shown(packed)}
                what = f"job stalled: {_shown(packed)}"
            case Snoozed(delay_ms):
                facts |= {"retry_in": delay_ms / 1000}
            case Done() | Released() | Cancelled():
                pass
        self._of_run(level, run, what, **facts)

    def blocked(self, run: Run, seconds: float) -> None:
        """Tell that a handler held the event loop."""
        self._of_run(
            logging.WARNING,
            run,
            f"handler blocked the event loop for {seconds:.1f} s: leases cannot be renewed "
            "meanwhile; make it a plain function, which runs in a thread",
            seconds=round(seconds, 3),
        )

    def stuck(self, run: Run) -> None:
        """Tell that a handler does not end."""
        self._of_run(logging.ERROR, run, "handler does not end when cancelled; it is left behind")

    def came_back(self, run: Run) -> None:
        """Tell that a handler that had been left behind has ended."""
        self._of_run(logging.WARNING, run, "handler that was left behind has ended; not settled")

    def thread_left(self, run: Run) -> None:
        """Tell that a thread was not waited for any longer."""
        self._of_run(
            logging.ERROR,
            run,
            "handler in a thread did not end when told to; it goes on without its lease, so the "
            "job may run twice at once",
        )

    def undecided(self, run: Run, error: Exception) -> None:
        """Tell that the end of a run could not be handled as it should."""
        self._of_run(logging.ERROR, run, f"end of a run could not be decided: {named(error)}")

    def hold_failed(self, run: Run, error: Exception) -> None:
        """Tell that a queue could not be held back: only the job that met the limit waits."""
        self._of_run(
            logging.ERROR, run, f"its queue could not be held, only the job is: {named(error)}"
        )

    def lease_lost(self, run: Run, why: str) -> None:
        """Tell that a running job is not this worker's any more."""
        self._of_run(logging.WARNING, run, f"lease lost while the handler runs ({why})")

    def settle_lost(self, settlement: Settlement) -> None:
        """Tell that the end of a run came too late."""
        lease = settlement.lease
        log.warning(
            "%s %s: lease lost before the run could be settled as %s; what it did counts no more. "
            "The process, its event loop or the store stood still for longer than the lease: keep "
            "the loop free, or work with a longer lease",
            _place(lease),
            lease.job_id,
            type(settlement.outcome).__name__.lower(),
            extra=self._facts(lease),
        )

    def settle_refused(self, settlement: Settlement, error: Exception) -> None:
        """Tell that the store takes the end of any run but this one."""
        lease = settlement.lease
        log.error(
            "%s %s: the store refuses to settle the run as %s: %s; its lease expires, and the job "
            "runs again",
            _place(lease),
            lease.job_id,
            type(settlement.outcome).__name__.lower(),
            named(error),
            exc_info=error,
            extra=self._facts(lease),
        )

    def _of_run(self, level: int, run: Run, event: str, **facts: object) -> None:
        lease = run.lease
        log.log(
            level,
            "%s %s (attempt %d): %s",
            _place(lease),
            lease.job_id,
            lease.failures + 1,
            event,
            extra=self._facts(lease) | facts,
        )

    def _facts(self, lease: Lease) -> dict[str, object]:
        return {
            "worker": self._worker,
            "job_id": lease.job_id,
            "queue": lease.queue,
            "job_name": lease.name,
            "attempt": lease.failures + 1,
            "fence": lease.fence,
        }

    # -- the worker ---------------------------------------------------------------------------

    def began(self, queues: tuple[str, ...], concurrency: int) -> None:
        """Tell that the worker runs."""
        log.info(
            "worker %s started: %d at once of %s",
            self._worker,
            concurrency,
            ", ".join(queues) or "no queue",
            extra={"worker": self._worker},
        )

    def doubtful(self, queues: tuple[str, ...], *, lease_ms: int) -> None:
        """Tell what makes no sense of how the worker is set up, though it may be meant."""
        facts = {"worker": self._worker}
        if not queues:
            log.warning(
                "worker %s has no handler, so it runs nothing: register some with "
                "@service.handler(queue, name), in a module that is imported before it starts",
                self._worker,
                extra=facts,
            )
        if lease_ms < SHORT_LEASE_MS:
            log.warning(
                "worker %s has leases of %g s, renewed every %.2g s: a pause of the process or the "
                "store that is longer lets its jobs run twice; 10 s or more bear it",
                self._worker,
                lease_ms / 1000,
                lease_ms / 3000,
                extra=facts,
            )

    def stopping(self, active: int, timeout: float) -> None:
        """Tell that the worker begins to end."""
        log.info(
            "worker %s stopping: waits up to %g s for %d runs",
            self._worker,
            timeout,
            active,
            extra={"worker": self._worker, "active": active},
        )

    def stopped(self) -> None:
        """Tell that the worker has ended."""
        log.info("worker %s stopped", self._worker, extra={"worker": self._worker})

    def unsettled(self, count: int) -> None:
        """Tell that the worker ends without having told the store of all it did."""
        log.error(
            "worker %s ends with %d runs that could not be settled; their leases expire",
            self._worker,
            count,
            extra={"worker": self._worker, "count": count},
        )

    def store_failed(self, what: str, error: Exception, *, wait: float) -> None:
        """Tell that a call failed: a warning where it may succeed later, else an error."""
        may_pass = is_transient(error)
        log.log(
            logging.WARNING if may_pass else logging.ERROR,
            "worker %s could not %s: %s; tries again in %.1f s",
            self._worker,
            what,
            named(error),
            wait,
            exc_info=None if may_pass else error,
            extra={"worker": self._worker},
        )

    def store_back(self, what: str, errors: int) -> None:
        """Tell that a call succeeds again."""
        log.info(
            "worker %s can %s again, after %d errors",
            self._worker,
            what,
            errors,
            extra={"worker": self._worker},
        )


def named(error: BaseException) -> str:
    """Show an exception in a line."""
    return on_one_line(f"{type(error).__name__}: {error}")


def on_one_line(text: str, most: int = 500) -> str:
    """Escape what could forge a line of a log or steer a terminal; mask the secrets of URLs."""
    text = masked(text[: most + LONGEST_SECRET])
    if len(text) > most:
        text = text[:most] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _place(lease: Lease) -> str:
    return f"{lease.queue}/{lease.name or '(unnamed)'}"


def _shown(packed: bytes | None) -> str:
    try:
        error = unpack_error(packed)
    except PayloadDecodeError:
        return "(unreadable)"
    return on_one_line(str(error)) if error is not None else ""
