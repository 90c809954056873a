"""What a handler may raise to say how its run ends, other than by an error of its own."""

from __future__ import annotations

from datetime import datetime

from jobyard.durations import Duration, instant_ms, to_ms

__all__ = ["Discard", "RateLimited", "Retry", "Signal", "Snooze", "Unrecoverable"]


class Signal(Exception):
    """The root of what a handler raises to steer its job; not an error of jobyard's."""


class Retry(Signal):
    """Count this run as failed and try again, after `delay` instead of the job's backoff.

    Without attempts left the job fails as it would by any error.
    """

    def __init__(
        self, message: str = "the handler asked for a retry", *, delay: Duration | None = None
    ) -> None:
        super().__init__(message)
        self.delay_ms = None if delay is None else to_ms(delay, "the delay of Retry")


class Snooze(Signal):
    """Bring the job back later; this run counts neither as a failure nor as an attempt.

    `until` is a number of seconds, a `timedelta`, or an aware `datetime`.
    """

    def __init__(self, until: Duration | datetime) -> None:
        super().__init__("the handler snoozed the job")
        self.at_ms = instant_ms(until, "until") if isinstance(until, datetime) else None
        self.delay_ms = None if isinstance(until, datetime) else to_ms(until, "until")


class Discard(Signal):
    """Fail the job at once, whatever attempts are left: no further run would help."""

    def __init__(self, message: str = "the handler discarded the job") -> None:
        super().__init__(message)


class Unrecoverable(Discard):
    """The same as `Discard`, for an error that no retry can mend."""


class RateLimited(Signal):
    """Give the job back and let nothing of its queue start for `delay`, over all workers.

    For a limit of a service outside that the handler has met. The run counts neither as a failure
    nor as an attempt, and the job keeps its place: it is among the first that run again. With
    `only_name` the other names of the queue go on.
    """

    def __init__(self, delay: Duration, *, only_name: bool = False) -> None:
        super().__init__("the handler met a rate limit")
        self.delay_ms = to_ms(delay, "the delay of RateLimited")
        self.only_name = only_name
