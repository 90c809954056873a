"""How long the records of finished jobs are kept."""

from __future__ import annotations

import msgspec

from jobyard.durations import Duration, to_ms
from jobyard.errors import InvalidOption
from jobyard.job import Retain

__all__ = ["Keep", "as_retain"]


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
