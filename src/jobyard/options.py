"""The options of a job: what an add, a definition or a service may say, and their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal, TypedDict

import msgspec
from msgspec import UNSET, UnsetType

from jobyard.backoff import DEFAULT as DEFAULT_BACKOFF
from jobyard.backoff import Backoff
from jobyard.durations import Duration, instant_ms, to_ms
from jobyard.errors import InvalidOption, StoreCorrupt
from jobyard.ids import check_job_id, check_name
from jobyard.job import PRIORITY_MAX, PRIORITY_MIN
from jobyard.retention import Keep, as_retain

__all__ = ["PRIORITIES", "JobOptions", "OptionArgs", "RunOptions"]

PRIORITIES: Final[Mapping[str, int]] = {"low": -10, "normal": 0, "high": 10, "critical": 20}
MOST_ATTEMPTS: Final = 2**31 - 1
MOST_TAGS: Final = 32
MOST_HEADERS: Final = 32
LONGEST_TEXT: Final = 1_024


class OptionArgs(TypedDict, total=False):
    """The keywords of an add, as `JobOptions` describes them."""

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
    stack_limit: int
    keep_logs: int


class JobOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a job. One not given is decided by the next layer: call, handler, service.

    Durations are seconds or a `timedelta`.

    - `job_id`: an id of your own; adding it again answers the job there is.
    - `channel`: a partition of the queue that workers may subscribe to.
    - `priority`: -100 to 100, higher first, or `"low"`, `"normal"`, `"high"`, `"critical"`.
    - `lifo`: go before every waiting job of the same priority.
    - `delay`, `run_at`: be due that much later, or at that aware datetime; not both.
    - `attempts`: runs that may fail before the job does; `retries=n` says `attempts=n + 1`.
    - `backoff`: the wait before each further attempt; a plain duration is a fixed one.
    - `timeout`: the longest one run may take; `on_timeout` says whether it then fails or stalls.
    - `ttl`: the longest the job may live, in whatever state.
    - `max_crashes`: how many workers may die over it before it ends as a crash loop.
    - `dead_letter`: end `dead` instead of `failed`.
    - `remove_on_complete`, `remove_on_fail`: keep no record (`True`), the newest n, or a `Keep`.
    - `headers`, `tags`: text that travels with the job.
    - `stack_limit`: how many frames of a traceback are stored; `keep_logs`: how many log lines.
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
    stack_limit: int | UnsetType = UNSET
    keep_logs: int | UnsetType = UNSET

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
            if given.get(one) and given.get(other):
                msg = f"give {one} or {other}, not both"
                raise InvalidOption(msg)
        fields: dict[str, Any] = {}
        run: dict[str, Any] = {}
        for name, value in given.items():
            if name in _RUN_FIELDS:
                run |= _run_field(name, value)
            else:
                fields |= _spec_field(name, value)
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
    stack_limit: int = 50
    keep_logs: int = 1_000


_RUN_FIELDS: Final = frozenset(
    {"timeout", "on_timeout", "backoff", "headers", "tags", "stack_limit", "keep_logs"}
)
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
    except msgspec.MsgspecError as error:
        msg = f"the stored options of a job cannot be read: {error}"
        raise StoreCorrupt(msg) from None


def _spec_field(name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401, PLR0911 - one case a line
    match name:
        case "job_id":
            return {} if value is None else {"id": check_job_id(value)}
        case "channel":
            return {"channel": "" if value is None else check_name(value, "channel")}
        case "priority":
            return {"priority": _priority(value)}
        case "lifo" | "dead_letter":
            return {name: _flag(name, value)}
        case "delay":
            return {"delay_ms": to_ms(value, "delay")}
        case "run_at":
            return {} if value is None else {"run_at": max(0, instant_ms(value, "run_at"))}
        case "attempts":
            return {"attempts": _count("attempts", value, least=1)}
        case "retries":
            return {"attempts": _count("retries", value, least=0) + 1}
        case "ttl":
            return {"ttl_ms": None if value is None else to_ms(value, "ttl", least=1)}
        case "max_crashes":
            return {"max_crashes": _count("max_crashes", value, least=1)}
        case "remove_on_complete":
            return {"keep_completed": as_retain(value, name)}
        case "remove_on_fail":
            return {"keep_failed": as_retain(value, name)}
        case _:
            raise AssertionError(name)


def _run_field(name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - checked here
    match name:
        case "timeout":
            return {"timeout_ms": None if value is None else to_ms(value, "timeout", least=1)}
        case "on_timeout":
            if value not in {"fail", "stall"}:
                msg = f'on_timeout is "fail" or "stall", not {value!r}'
                raise InvalidOption(msg)
            return {"on_timeout": value}
        case "backoff":
            return {"backoff": value if isinstance(value, Backoff) else Backoff.fixed(value)}
        case "headers":
            return {"headers": _headers(value)}
        case "tags":
            return {"tags": _tags(value)}
        case "stack_limit" | "keep_logs":
            return {name: _count(name, value, least=0, most=10_000)}
        case _:
            raise AssertionError(name)


def _priority(value: object) -> int:
    if isinstance(value, str) and value in PRIORITIES:
        return PRIORITIES[value]
    if isinstance(value, int) and not isinstance(value, bool):
        if PRIORITY_MIN <= value <= PRIORITY_MAX:
            return int(value)
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
    import difflib

    near = difflib.get_close_matches(name, JobOptions.__struct_fields__, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
