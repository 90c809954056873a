"""How long the records of finished jobs are kept."""

from __future__ import annotations

import msgspec

from jobyard.durations import Duration, to_ms
from jobyard.edits import Retention
from jobyard.errors import InvalidOption
from jobyard.job import Retain

__all__ = ["Keep", "RetentionPolicy", "as_retain"]


class Keep(msgspec.Struct, frozen=True):
    """Keep the newest `count` finished jobs of the queue, or those younger than `age` seconds.

    Given both, a record goes as soon as either says so.
    """

    count: int | None = None
    age: Duration | None = None

    def __post_init__(self) -> None:
        """Refuse a rule that says nothing, or nothing possible."""
        if self.count is None and self.age is None:
            msg = "Keep needs a count, an age or both"
            raise InvalidOption(msg)
        if self.count is not None and (isinstance(self.count, bool) or self.count < 0):
            msg = f"the count of Keep is 0 or more, not {self.count!r}"
            raise InvalidOption(msg)
        if self.age is not None:
            to_ms(self.age, "the age of Keep")


def as_retain(rule: object, option: str) -> Retain | None:
    """Read `remove_on_complete` or `remove_on_fail`: a bool, a number to keep, or a `Keep`."""
    match rule:
        case None | False:
            return None
        case True:
            return Retain(count=0)
        case int() if rule >= 0:
            return Retain(count=rule)
        case Keep(count, age):
            return Retain(count=count, age_ms=None if age is None else to_ms(age, option))
        case _:
            msg = (
                f"{option} is True (keep no record), False (keep by the service's retention), "
                f"a number of newest records to keep, or a Keep, not {rule!r}"
            )
            raise InvalidOption(msg)


class RetentionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long a service keeps finished jobs that have no rule of their own.

    `completed` and `failed` are ages in seconds; `count` bounds the finished jobs of each queue.
    """

    completed: Duration = 24 * 3600
    failed: Duration = 7 * 24 * 3600
    count: int = 100_000

    def __post_init__(self) -> None:
        """Refuse an impossible policy where it is written."""
        self.as_sweep()

    def as_sweep(self) -> Retention:
        """Turn the policy into the sweep that keeps it."""
        if isinstance(self.count, bool) or self.count < 0:
            msg = f"the count of a retention policy is 0 or more, not {self.count!r}"
            raise InvalidOption(msg)
        return Retention(
            completed_ms=to_ms(self.completed, "the retention of completed jobs"),
            others_ms=to_ms(self.failed, "the retention of failed jobs"),
            count=self.count,
        )
