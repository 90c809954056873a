"""Handlers: the functions that run jobs, by queue and name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec

from jobyard.backoff import Backoff
from jobyard.durations import Duration, to_ms
from jobyard.errors import ConfigError, HandlerExists, InvalidOption
from jobyard.flowcontrol import RateLimit, check_count
from jobyard.ids import check_name
from jobyard.lease import MAX_BATCH
from jobyard.limit import Rate

__all__ = ["BatchOptions", "Handler", "HandlerKind", "Handlers", "OnError"]

UNNAMED: Final = ""

OnError = Mapping[type[Exception], "Backoff | Duration | Literal['fail']"]
"""What becomes of a job by the class of the error: the wait before the next attempt, or the end."""


class HandlerKind(StrEnum):
    """Where a handler runs."""

    ASYNC = "async"
    """In the event loop: a coroutine function."""
    THREAD = "thread"
    """In a thread: a plain function, which cannot be stopped from outside."""
    PROCESS = "process"
    """In a process of its own, killed at its time limit: a function importable by its module."""


class BatchOptions(msgspec.Struct, frozen=True):
    """Let one call have up to `size` jobs, or what has come `wait` seconds after the first."""

    size: int
    wait: Duration = 0.1

    def __post_init__(self) -> None:
        """Refuse an impossible batch where it is written."""
        if check_count("the size of a batch", self.size) > MAX_BATCH:
            msg = f"the size of a batch is at most {MAX_BATCH:,}, not {self.size:,}"
            raise InvalidOption(msg)
        to_ms(self.wait, "the wait of a batch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """A function that runs the jobs of one name in one queue.

    `concurrency` bounds its calls at once in one worker, `None` leaving it to the worker's own;
    `rate` their starts over all workers. With `batch` a call has several jobs. `on_error` says how
    long to wait after errors of a class, `None` that no further run would help.
    """

    queue: str
    name: str
    function: Callable[..., Any]
    kind: HandlerKind
    concurrency: int | None = None
    rate: Rate | None = None
    batch: BatchOptions | None = None
    on_error: Mapping[type[BaseException], Backoff | None] = field(default_factory=dict)

    @property
    def job_limit(self) -> int | None:
        """How many jobs it may have at once in one worker."""
        if self.concurrency is None or self.batch is None:
            return self.concurrency
        return self.concurrency * self.batch.size

    @property
    def label(self) -> str:
        """The queue and name, for messages."""
        return f"{self.queue}/{self.name or '(unnamed)'}"


class Handlers:
    """The handlers of a service."""

    def __init__(self) -> None:
        self._by_lane: dict[tuple[str, str], Handler] = {}
        self.around: list[Callable[..., Any]] = []
        """What each run goes through, the outermost first."""
        self.version = 0
        """Grows with each registration: a worker looks whether it knows the latest."""

    def register(  # noqa: PLR0913 - a handler has these knobs, all with defaults
        self,
        queue: str,
        name: str | None,
        function: Callable[..., Any],
        *,
        kind: HandlerKind | str | None = None,
        concurrency: int | None = None,
        rate: RateLimit | None = None,
        batch: BatchOptions | None = None,
        on_error: OnError | None = None,
        replace: bool = False,
    ) -> Handler:
        """Keep a handler; raise `HandlerExists` if there is one and `replace` is false.

        Without a name it runs the jobs added without one. Without a kind, a coroutine function
        runs in the event loop and another in a thread.
        """
        check_name(queue, "queue name")
        lane = (queue, UNNAMED if name is None else check_name(name, "job name"))
        if lane in self._by_lane and not replace:
            msg = (
                f"{self._by_lane[lane].label} has a handler already; "
                "pass replace=True to replace it"
            )
            raise HandlerExists(msg)
        if concurrency is not None and (isinstance(concurrency, bool) or concurrency < 1):
            msg = f"the concurrency of a handler is 1 or more, not {concurrency!r}"
            raise InvalidOption(msg)
        chosen = _kind(function, kind)
        _check_batch(batch, function, chosen)
        _check_call(function)
        handler = Handler(
            queue=queue,
            name=lane[1],
            function=function,
            kind=chosen,
            concurrency=concurrency,
            rate=_rate(rate),
            batch=batch,
            on_error=_on_error(on_error, chosen),
        )
        self._by_lane[lane] = handler
        self.version += 1
        return handler

    def surround(self, hook: Callable[..., Any], *, outermost: bool = False) -> None:
        """Have each run go through a function."""
        self.around.insert(0 if outermost else len(self.around), hook)
        self.version += 1

    def unwrap(self, hook: Callable[..., Any]) -> None:
        """Have runs go through a function no more."""
        self.around.remove(hook)
        self.version += 1

    def find(self, queue: str, name: str) -> Handler | None:
        """Find the handler for a job, `None` without one."""
        return self._by_lane.get((queue, name))

    def queues(self) -> tuple[str, ...]:
        """List the queues that have handlers, sorted."""
        return tuple(sorted({queue for queue, _ in self._by_lane}))

    def of_queue(self, queue: str) -> tuple[Handler, ...]:
        """List the handlers of a queue, by name."""
        return tuple(h for lane, h in sorted(self._by_lane.items()) if lane[0] == queue)

    def __iter__(self) -> Iterator[Handler]:
        """Go through all handlers."""
        return iter(self._by_lane.values())

    def __len__(self) -> int:
        """Count the handlers."""
        return len(self._by_lane)


def _kind(function: object, kind: HandlerKind | str | None) -> HandlerKind:
    if not callable(function):
        msg = f"a handler is a function, not {function!r}"
        raise ConfigError(msg)
    is_async = _is_coroutine(function)
    if kind is None:
        return HandlerKind.ASYNC if is_async else HandlerKind.THREAD
    try:
        chosen = HandlerKind(kind)
    except ValueError:
        msg = f"the kind of a handler is {', '.join(HandlerKind)}, not {kind!r}"
        raise InvalidOption(msg) from None
    if is_async != (chosen is HandlerKind.ASYNC):
        what = "a coroutine function" if is_async else "a plain function"
        msg = f"a handler of kind {chosen} cannot be {what}"
        raise ConfigError(msg)
    if chosen is HandlerKind.PROCESS and "<locals>" in getattr(function, "__qualname__", ""):
        msg = (
            f"{getattr(function, '__qualname__', function)} cannot run in a process of its own: "
            "move it to the top level of a module that can be imported"
        )
        raise ConfigError(msg)
    return chosen


def _rate(rate: object) -> Rate | None:
    if rate is None:
        return None
    if not isinstance(rate, RateLimit) or rate.key is not None:
        msg = f"the rate of a handler is a RateLimit without a key, not {rate!r}"
        raise InvalidOption(msg)
    return rate.as_rate()


def _on_error(rules: object, kind: HandlerKind) -> Mapping[type[BaseException], Backoff | None]:
    if rules is None:
        return MappingProxyType({})
    if kind is HandlerKind.PROCESS:
        msg = "on_error is not for handlers in a process of their own: their errors stay there"
        raise InvalidOption(msg)
    if not isinstance(rules, Mapping) or not all(map(_is_error_class, rules)):
        msg = f"on_error maps classes of exceptions, not {rules!r}"
        raise InvalidOption(msg)
    return MappingProxyType({each: _rule(rule) for each, rule in rules.items()})


def _is_error_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def _rule(rule: object) -> Backoff | None:
    if rule == "fail":
        return None
    if isinstance(rule, str):
        msg = f'on_error says "fail", a number of seconds or a Backoff, not {rule!r}'
        raise InvalidOption(msg)
    return rule if isinstance(rule, Backoff) else Backoff.fixed(rule)  # type: ignore[arg-type]


def _check_batch(batch: object, function: Callable[..., Any], kind: HandlerKind) -> None:
    if batch is None:
        return
    if not isinstance(batch, BatchOptions):
        msg = f"the batch of a handler is BatchOptions, not {batch!r}"
        raise InvalidOption(msg)
    if kind is HandlerKind.PROCESS:
        msg = "a batch handler runs in the event loop or in a thread, not in a process of its own"
        raise InvalidOption(msg)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    if not _takes(signature, 1):
        msg = f"a batch handler takes the list of its jobs; {function!r} takes nothing"
        raise ConfigError(msg)


def _check_call(function: Callable[..., Any]) -> None:
    """Refuse what no worker could call, where it is written."""
    name = getattr(function, "__qualname__", repr(function))
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        msg = f"{name} yields, so it cannot be a handler: nothing would run it"
        raise ConfigError(msg)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    if not (_takes(signature, 1) or _takes(signature, 0)):
        msg = f"a handler takes the job, or nothing; {name}{signature} can be called with neither"
        raise ConfigError(msg)


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _is_coroutine(function: object) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 - an object whose call is a coroutine
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
