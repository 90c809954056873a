"""What an app says to hold jobs back: rates, dedup keys, groups, dependencies."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Literal, Protocol, Self, runtime_checkable

import msgspec

from jobyard.durations import Duration, to_ms
from jobyard.errors import InvalidOption
from jobyard.ids import check_job_id
from jobyard.job import Dedup as HeldKey
from jobyard.job import DedupMode, Dependency, Group, OnParentFailure, RateKey
from jobyard.limit import Rate

__all__ = ["Dedup", "Parent", "RateLimit", "check_count", "check_key"]

LONGEST_KEY: Final = 128
MOST_AT_ONCE: Final = 1_000_000
MOST_PARENTS: Final = 1_000


@runtime_checkable
class Parent(Protocol):
    """What a job may depend on besides an id: a `Job`."""

    @property
    def id(self) -> str:
        """The id of the job."""
        ...


class RateLimit(msgspec.Struct, frozen=True):
    """At most `count` starts in any `per` seconds; of the jobs that share `key`, for a job."""

    count: int
    per: Duration = 1.0
    key: str | None = None

    def __post_init__(self) -> None:
        """Refuse a rate that means nothing, where it is written."""
        self.as_rate()
        if self.key is not None:
            check_key(self.key, "the key of a rate limit")

    def as_rate(self) -> Rate:
        """Turn it into the limit of a queue or name."""
        count = check_count("the count of a rate limit", self.count)
        return Rate(count, to_ms(self.per, "the period of a rate limit", least=1))


class Dedup(msgspec.Struct, frozen=True):
    """While `key` is held in the queue, a further job with it is not added.

    It is held until its job has ended, or, with `ttl`, until that many seconds after the add.
    `mode` says what a further add does: nothing (`"ignore"`), hold the key for `ttl` from now
    (`"extend"`), or give the job that waits its own payload, options and due (`"replace"`).
    """

    key: str
    mode: Literal["ignore", "extend", "replace"] = "ignore"
    ttl: Duration | None = None

    def __post_init__(self) -> None:
        """Refuse what means nothing, where it is written."""
        self.as_held()

    def as_held(self) -> HeldKey:
        """Turn it into what a store keeps."""
        try:
            mode = DedupMode(self.mode)
        except ValueError:
            msg = f"the mode of Dedup is {', '.join(DedupMode)}, not {self.mode!r}"
            raise InvalidOption(msg) from None
        if mode is DedupMode.EXTEND and self.ttl is None:
            msg = 'Dedup with mode="extend" needs a ttl: it says how long the key is held on'
            raise InvalidOption(msg)
        ttl_ms = None if self.ttl is None else to_ms(self.ttl, "the ttl of Dedup", least=1)
        return HeldKey(key=check_key(self.key, "a dedup key"), mode=mode, ttl_ms=ttl_ms)

    @classmethod
    def debounce(cls, key: str) -> Self:
        """Run only the latest of the jobs that come close together: give each the same `delay`."""
        return cls(key, "replace")

    @classmethod
    def throttle(cls, key: str, *, per: Duration) -> Self:
        """Add only the first job in each `per` seconds."""
        return cls(key, "ignore", per)


def check_key(key: object, what: str) -> str:
    """Answer a key, or raise `InvalidOption`: printable text that is not too long."""
    if isinstance(key, str) and 0 < len(key) <= LONGEST_KEY and key.isprintable():
        return key
    shown = ascii(key)[:80]
    msg = f"{what} is 1 to {LONGEST_KEY} printable characters, not {shown}"
    raise InvalidOption(msg)


def read_group(value: Any) -> dict[str, Any]:
    """Read the `group` of a job: a key, or a `Group` with its limit."""
    if value is None:
        return {"group": None}
    group = value if isinstance(value, Group) else Group(key=value)
    check_key(group.key, "the key of a group")
    check_count("the limit of a group", group.limit)
    return {"group": group}


def read_dedup(value: Any) -> dict[str, Any]:
    """Read the `dedup` of a job: a key, or a `Dedup`."""
    if value is None:
        return {"dedup": None}
    return {"dedup": (value if isinstance(value, Dedup) else Dedup(value)).as_held()}


def read_rate(value: Any) -> dict[str, Any]:
    """Read the `rate` of a job, which needs a key."""
    if value is None:
        return {"rate": None}
    if not isinstance(value, RateLimit) or value.key is None:
        msg = f"the rate of a job is a RateLimit with a key, not {value!r}"
        raise InvalidOption(msg)
    rate = value.as_rate()
    return {"rate": RateKey(key=value.key, count=rate.count, per_ms=rate.per_ms)}


def read_parents(value: Any, on_failure: Any) -> dict[str, Any]:
    """Read `depends_on`: a job, an id or a `Dependency`, or several of them."""
    failure = read_parent_failure(on_failure)
    if value is None:
        return {"depends_on": ()}
    several = not isinstance(value, str | Dependency | Parent) and isinstance(value, Collection)
    parents = tuple(_parent(each, failure) for each in (value if several else (value,)))
    if len(parents) > MOST_PARENTS:
        msg = f"a job depends on at most {MOST_PARENTS:,} jobs, not {len(parents):,}"
        raise InvalidOption(msg)
    if len({each.parent for each in parents}) < len(parents):
        msg = "depends_on names a job twice"
        raise InvalidOption(msg)
    return {"depends_on": parents}


def read_parent_failure(value: Any) -> OnParentFailure:
    """Read what becomes of a job whose parent did not complete."""
    try:
        return OnParentFailure(value)
    except ValueError:
        msg = f'on_parent_failure is "fail" or "ignore", not {value!r}'
        raise InvalidOption(msg) from None


def _parent(value: object, failure: OnParentFailure) -> Dependency:
    match value:
        case str():
            return Dependency(parent=check_job_id(value), on_failure=failure)
        case Dependency(parent=parent, on_failure=own):
            return Dependency(parent=check_job_id(parent), on_failure=read_parent_failure(own))
        case Parent(id=str() as job_id):
            return Dependency(parent=check_job_id(job_id), on_failure=failure)
        case _:
            msg = f"depends_on takes jobs, ids or Dependency, not {value!r}"
            raise InvalidOption(msg)


def check_count(what: str, value: object) -> int:
    """Answer a number of jobs, or raise `InvalidOption`."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_AT_ONCE:
        return value
    msg = f"{what} is a whole number from 1 to {MOST_AT_ONCE:,}, not {value!r}"
    raise InvalidOption(msg)
