"""The options of a job: what an add, a definition or a service may say, and their defaults."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal, TypedDict

import msgspec
from msgspec import UNSET, UnsetType

from jobyard.backoff import DEFAULT as DEFAULT_BACKOFF
from jobyard.backoff import Backoff
from jobyard.durations import Duration, instant_ms, to_ms
from jobyard.errors import InvalidOption, StoreCorrupt
from jobyard.flowcontrol import (
    Dedup,
    Parent,
    RateLimit,
    read_dedup,
    read_group,
    read_parents,
    read_rate,
)
from jobyard.ids import check_job_id, check_name
from jobyard.job import PRIORITY_MAX, PRIORITY_MIN, Dependency, Group, OnParentFailure
from jobyard.retention import Keep, as_retain

__all__ = ["OF_ONE_JOB", "PRIORITIES", "JobOptions", "OptionArgs", "RunOptions"]

PRIORITIES: Final[Mapping[str, int]] = {"low": -10, "normal": 0, "high": 10, "critical": 20}
ParentJobs = str | Parent | Dependency | Collection[str | Parent | Dependency]

OF_ONE_JOB: Final = ("job_id", "delay", "run_at")
"""Options that the jobs of a schedule cannot share."""

MOST_ATTEMPTS: Final = 2**31 - 1
MOST_TAGS: Final = 32
MOST_HEADERS: Final = 32
LONGEST_TEXT: Final = 1_024
JSON_CODEC: Final = "json"


class FlowArgs(TypedDict, total=False):
    """The keywords of a job of a flow, as `JobOptions` describes them."""

    job_id: str | None
    channel: str | None
    priority: int | str
    lifo: bool
    delay: Duration
    run_at: datetime | None
    attempts: int
    retries: int
    backoff: Backoff | Duration
    timeout: Duration | None
    on_timeout: Literal["fail", "stall"]
    ttl: Duration | None
    max_crashes: int
    dead_letter: bool
    remove_on_complete: bool | int | Keep
    remove_on_fail: bool | int | Keep
    headers: Mapping[str, str]
    tags: tuple[str, ...] | list[str]
    codec: str
    stack_limit: int
    keep_logs: int
    group: str | Group | None
    rate: RateLimit | None
    dedup: str | Dedup | None
    on_parent_failure: Literal["fail", "ignore"]


class OptionArgs(FlowArgs, total=False):
    """The keywords of an add, as `JobOptions` describes them."""

    depends_on: ParentJobs | None


class JobOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a job. One not given is decided by the next layer: call, handler, service.

    Durations are seconds or a `timedelta`.

    - `job_id`: an id of your own; adding it again answers the job there is.
    - `channel`: a partition of the queue that workers may subscribe to.
    - `priority`: -100 to 100, higher first, or `"low"`, `"normal"`, `"high"`, `"critical"`.
    - `lifo`: go before every waiting job of the same priority.
    - `delay`, `run_at`: be due that much later, or at that aware datetime; not both.
    - `attempts`: how many runs may fail before the job does, 1 or more.
    - `retries`: the same, not counting the first: `retries=2` says `attempts=3`.
    - `backoff`: the wait before each further attempt; a plain duration is a fixed one.
    - `timeout`: the longest that one run may take.
    - `on_timeout`: whether a run past its time fails (`"fail"`), or stops the job (`"stall"`).
    - `ttl`: the longest the job may live, in whatever state.
    - `max_crashes`: how many workers may die over it before it ends as a crash loop.
    - `dead_letter`: end `dead` instead of `failed`.
    - `remove_on_complete`, `remove_on_fail`: keep no record (`True`), the newest n, or a `Keep`.
    - `headers`, `tags`: text that travels with the job.
    - `codec`: how the payload is written: `"json"`, `"msgpack"`, `"raw"` (bytes), or one of the
      service's own.
    - `stack_limit`: how many frames of a traceback are stored, the innermost ones.
    - `keep_logs`: how many log lines are kept, the latest ones.
    - `group`: a key; jobs of a queue that share it run one at a time, in order, or as many at a
      time as a `Group` says.
    - `rate`: a `RateLimit` with a key; jobs of a queue that share it start no more often.
    - `dedup`: a key that keeps further jobs with it from being added, or a `Dedup`.
    - `depends_on`: jobs, or their ids, that have to complete before this one may run.
    - `on_parent_failure`: whether the job fails with one of these (`"fail"`), or runs all the same
      (`"ignore"`).
    """

    job_id: str | UnsetType | None = UNSET
    channel: str | UnsetType | None = UNSET
    priority: int | str | UnsetType = UNSET
    lifo: bool | UnsetType = UNSET
    delay: Duration | UnsetType = UNSET
    run_at: datetime | UnsetType | None = UNSET
    attempts: int | UnsetType = UNSET
    retries: int | UnsetType = UNSET
    backoff: Backoff | Duration | UnsetType = UNSET
    timeout: Duration | UnsetType | None = UNSET
    on_timeout: Literal["fail", "stall"] | UnsetType = UNSET
    ttl: Duration | UnsetType | None = UNSET
    max_crashes: int | UnsetType = UNSET
    dead_letter: bool | UnsetType = UNSET
    remove_on_complete: bool | int | Keep | UnsetType = UNSET
    remove_on_fail: bool | int | Keep | UnsetType = UNSET
    headers: Mapping[str, str] | UnsetType = UNSET
    tags: tuple[str, ...] | list[str] | UnsetType = UNSET
    codec: str | UnsetType = UNSET
    stack_limit: int | UnsetType = UNSET
    keep_logs: int | UnsetType = UNSET
    group: str | Group | UnsetType | None = UNSET
    rate: RateLimit | UnsetType | None = UNSET
    dedup: str | Dedup | UnsetType | None = UNSET
    depends_on: ParentJobs | UnsetType | None = UNSET
    on_parent_failure: Literal["fail", "ignore"] | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Refuse what is out of range at once, where it is written."""
        self.as_fields()

    def over(self, lower: JobOptions) -> JobOptions:
        """Lay these options over others: what is given here wins.

        `delay` and `run_at` replace each other, as `attempts` and `retries` do.
        """
        fields = lower._given()
        mine = self._given()
        for one, other in _RIVALS:
            if one in mine or other in mine:
                fields.pop(one, None)
                fields.pop(other, None)
        return JobOptions(**(fields | mine))

    def _given(self) -> dict[str, Any]:
        return {
            name: value
            for name in self.__struct_fields__
            if (value := getattr(self, name)) is not UNSET
        }

    def as_fields(self) -> dict[str, Any]:
        """Turn what is given into fields of a `JobSpec`; raise `InvalidOption` or `InvalidName`."""
        given = self._given()
        for one, other in _RIVALS:
            if given.get(one) and given.get(other) is not None:
                msg = f"give {one} or {other}, not both"
                raise InvalidOption(msg)
        fields: dict[str, Any] = {}
        run: dict[str, Any] = {}
        for name, value in given.items():
            if name in RUN_READERS:
                run |= RUN_READERS[name](value)
            elif name in SPEC_READERS:
                fields |= SPEC_READERS[name](value)
        if "depends_on" in given or "on_parent_failure" in given:
            on_failure = given.get("on_parent_failure", OnParentFailure.FAIL)
            fields |= read_parents(given.get("depends_on"), on_failure)
        if run:
            fields["options"] = pack(RunOptions(**run))
        return fields


_RIVALS: Final = (("delay", "run_at"), ("attempts", "retries"))


class RunOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker needs to know of a job and a store does not."""

    timeout_ms: int | None = None
    on_timeout: Literal["fail", "stall"] = "fail"
    backoff: Backoff = DEFAULT_BACKOFF
    headers: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    codec: str = JSON_CODEC
    stack_limit: int = 50
    keep_logs: int = 1_000


DEFAULT_RUN: Final = RunOptions()


def pack(run: RunOptions) -> bytes:
    """Encode the run options; the defaults take no bytes."""
    return b"" if run == DEFAULT_RUN else msgspec.json.encode(run)


@lru_cache(maxsize=1024)
def unpack(data: bytes) -> RunOptions:
    """Decode run options; jobs of a kind share their bytes, so the cache nearly always hits."""
    if not data:
        return DEFAULT_RUN
    try:
        return msgspec.json.decode(data, type=RunOptions)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        msg = f"the stored options of a job cannot be read: {error}"
        raise StoreCorrupt(msg) from None


Reader = Callable[[Any], dict[str, Any]]


def _read_delay(value: Any) -> dict[str, Any]:
    return {"delay_ms": to_ms(value, "delay")}


def _read_run_at(value: Any) -> dict[str, Any]:
    # Before the epoch is as much in the past as the epoch is.
    return {} if value is None else {"run_at": max(0, instant_ms(value, "run_at"))}


def _read_on_timeout(value: Any) -> dict[str, Any]:
    if value not in {"fail", "stall"}:
        msg = f'on_timeout is "fail" or "stall", not {value!r}'
        raise InvalidOption(msg)
    return {"on_timeout": value}


def _optional_ms(value: Any, option: str) -> int | None:
    return None if value is None else to_ms(value, option, least=1)


SPEC_READERS: Final[Mapping[str, Reader]] = {
    "job_id": lambda v: {} if v is None else {"id": check_job_id(v)},
    "channel": lambda v: {"channel": "" if v is None else check_name(v, "channel")},
    "priority": lambda v: {"priority": priority_of(v)},
    "lifo": lambda v: {"lifo": _flag("lifo", v)},
    "delay": _read_delay,
    "run_at": _read_run_at,
    "attempts": lambda v: {"attempts": _count("attempts", v, least=1)},
    "retries": lambda v: {"attempts": _count("retries", v, least=0) + 1},
    "ttl": lambda v: {"ttl_ms": _optional_ms(v, "ttl")},
    "max_crashes": lambda v: {"max_crashes": _count("max_crashes", v, least=1)},
    "dead_letter": lambda v: {"dead_letter": _flag("dead_letter", v)},
    "remove_on_complete": lambda v: {"keep_completed": as_retain(v, "remove_on_complete")},
    "remove_on_fail": lambda v: {"keep_failed": as_retain(v, "remove_on_fail")},
    "group": read_group,
    "rate": read_rate,
    "dedup": read_dedup,
}
"""How each option becomes fields of a `JobSpec`."""

RUN_READERS: Final[Mapping[str, Reader]] = {
    "timeout": lambda v: {"timeout_ms": _optional_ms(v, "timeout")},
    "on_timeout": _read_on_timeout,
    "backoff": lambda v: {"backoff": v if isinstance(v, Backoff) else Backoff.fixed(v)},
    "headers": lambda v: {"headers": _headers(v)},
    "tags": lambda v: {"tags": _tags(v)},
    "codec": lambda v: {"codec": check_name(v, "codec")},
    "stack_limit": lambda v: {"stack_limit": _count("stack_limit", v, least=0, most=10_000)},
    "keep_logs": lambda v: {"keep_logs": _count("keep_logs", v, least=0, most=10_000)},
}
"""How each option becomes fields of a `RunOptions`."""


def priority_of(value: object) -> int:
    """Answer a priority as a number; raise `InvalidOption` for what is none."""
    if isinstance(value, str) and value in PRIORITIES:
        return PRIORITIES[value]
    number = None if isinstance(value, bool) else value
    if isinstance(number, int) and PRIORITY_MIN <= number <= PRIORITY_MAX:
        return int(number)
    msg = (
        f"priority is {PRIORITY_MIN} to {PRIORITY_MAX} (higher first) or one of "
        f"{', '.join(PRIORITIES)}, not {value!r}"
    )
    raise InvalidOption(msg)


def _flag(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    msg = f"{name} is True or False, not {value!r}"
    raise InvalidOption(msg)


def _count(name: str, value: object, *, least: int, most: int = MOST_ATTEMPTS - 1) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    msg = f"{name} is a whole number from {least} to {most}, not {value!r}"
    raise InvalidOption(msg)


def _headers(value: object) -> dict[str, str]:
    if (
        isinstance(value, Mapping)
        and len(value) <= MOST_HEADERS
        and all(_is_text(key) and _is_text(item) for key, item in value.items())
    ):
        return dict(value)
    msg = f"headers map at most {MOST_HEADERS} texts to texts, each at most {LONGEST_TEXT} long"
    raise InvalidOption(msg)


def _tags(value: object) -> tuple[str, ...]:
    if isinstance(value, (tuple, list)) and len(value) <= MOST_TAGS and all(map(_is_text, value)):
        return tuple(value)
    msg = f"tags are at most {MOST_TAGS} texts, each at most {LONGEST_TEXT} long"
    raise InvalidOption(msg)


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_options(options: Mapping[str, Any]) -> JobOptions:
    """Read keywords into options; raise `TypeError`, naming the near ones, for one not known."""
    try:
        return JobOptions(**options)
    except TypeError:
        unknown = sorted(set(options) - set(JobOptions.__struct_fields__))
        if not unknown:
            raise
        msg = f"unknown job option {', '.join(map(repr, unknown))}{_near(unknown[0])}"
        raise TypeError(msg) from None


def _near(name: str) -> str:
    near = difflib.get_close_matches(name, JobOptions.__struct_fields__, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
