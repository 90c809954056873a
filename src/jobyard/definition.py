"""Definitions: a job's name, the type of its payload, its defaults and its function, in one."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, Unpack, overload

from jobyard.errors import ConfigError
from jobyard.handle import Job
from jobyard.options import OF_ONE_JOB, OptionArgs
from jobyard.shape import Shape

if TYPE_CHECKING:
    from jobyard.plan import Schedule
    from jobyard.service.service import QueueService

__all__ = ["Definition"]

P = TypeVar("P")
P_contra = TypeVar("P_contra", contravariant=True)


class Definition(Generic[P]):
    """A job that is defined once: apps get one from `QueueService.job`, around a function.

    `enqueue` takes a payload of the type that the function's first parameter is annotated with;
    the function gets it back as that, and the job as its second parameter if it has one. Calling
    the definition calls the function, as in a test.
    """

    def __init__(
        self,
        service: QueueService,
        queue: str,
        name: str,
        function: Callable[..., Any],
        options: OptionArgs,
    ) -> None:
        """Read the type off a function; raise `ConfigError` for one that has none."""
        self.service = service
        self.queue = queue
        self.name = name
        self.function = function
        self.options = options
        self.takes, kind = _parameters(function)
        self.shape = Shape(kind)
        self.__doc__ = function.__doc__
        # A handler's own process finds the definition under the function's name.
        self.__module__ = function.__module__
        self.__qualname__ = function.__qualname__

    @overload
    async def enqueue(
        self: Definition[None],
        payload: None = None,
        *,
        within: object | None = None,
        **options: Unpack[OptionArgs],
    ) -> Job: ...

    @overload
    async def enqueue(
        self, payload: P, *, within: object | None = None, **options: Unpack[OptionArgs]
    ) -> Job: ...

    async def enqueue(
        self, payload: Any = None, *, within: object | None = None, **options: Unpack[OptionArgs]
    ) -> Job:
        """Add a job: `QueueService.add_job`. What is said here wins over the defaults."""
        return await self.service.add_job(
            self.queue, self.name, payload, within=within, **self._with_defaults(options)
        )

    async def enqueue_many(
        self, payloads: Iterable[P], *, within: object | None = None, **options: Unpack[OptionArgs]
    ) -> list[Job]:
        """Add many jobs, all or none: `QueueService.add_jobs`."""
        jobs = [(self.name, payload) for payload in payloads]
        return await self.service.add_jobs(
            self.queue, jobs, within=within, **self._with_defaults(options)
        )

    @overload
    async def schedule(
        self: Definition[None], key: str, payload: None = None, **said: Any
    ) -> Schedule: ...

    @overload
    async def schedule(self, key: str, payload: P, **said: Any) -> Schedule: ...

    async def schedule(self, key: str, payload: Any = None, **said: Any) -> Schedule:
        """Add a job at each tick: `QueueService.add_schedule`, which takes the same keywords.

        The definition's `delay` is for `enqueue`: the job of a tick is due at the tick.
        """
        options: dict[str, Any] = dict(self._with_defaults(typing.cast("OptionArgs", said)))
        for one in OF_ONE_JOB:
            if one not in said:
                options.pop(one, None)
        return await self.service.add_schedule(key, self.queue, self.name, payload, **options)

    def _with_defaults(self, options: OptionArgs) -> OptionArgs:
        if not options:
            return self.options
        defaults = dict(self.options)
        for one, other in (("delay", "run_at"), ("attempts", "retries")):
            if one in options or other in options:
                defaults.pop(one, None)
                defaults.pop(other, None)
        return typing.cast("OptionArgs", {**defaults, **options})

    def perform(self, job: Any) -> Any:
        """Call the function for a job that has the payload as plain values."""
        return self.function(*(self.shape.decode(job.data), job)[: self.takes])

    def handler(self) -> Callable[[Any], Any]:
        """Give what a worker calls with a job, whose payload is of the type already."""
        function, takes = self.function, self.takes
        if inspect.iscoroutinefunction(function):

            async def run(job: Any) -> Any:
                return await function(*(job.data, job)[:takes])

            return run

        def run_in_thread(job: Any) -> Any:
            return function(*(job.data, job)[:takes])

        return run_in_thread

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        """Show the queue, the name and the type."""
        return f"<Definition {self.queue}/{self.name} of {self.shape}>"


class Define(Protocol):
    """The decorator that `QueueService.job` gives."""

    @overload
    def __call__(self, function: Callable[[P, Any], Awaitable[Any]], /) -> Definition[P]: ...

    @overload
    def __call__(self, function: Callable[[P], Awaitable[Any]], /) -> Definition[P]: ...

    @overload
    def __call__(self, function: Callable[[], Any], /) -> Definition[None]: ...

    @overload
    def __call__(self, function: Callable[[P, Any], Any], /) -> Definition[P]: ...

    @overload
    def __call__(self, function: Callable[[P], Any], /) -> Definition[P]: ...

    def __call__(self, function: Callable[..., Any], /) -> Definition[Any]:
        """Make a definition of a function."""
        ...


def _parameters(function: Callable[..., Any]) -> tuple[int, Any]:
    """Tell how many of payload and job a function takes, and the payload's type."""
    label = getattr(function, "__qualname__", repr(function))
    positional = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}
    ]
    if len(positional) > 2:
        msg = f"a defined job's function takes its payload and the job at most; {label} takes more"
        raise ConfigError(msg)
    if not positional:
        return 0, None
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        msg = f"the annotations of {label} cannot be read: {error}; define the type before it"
        raise ConfigError(msg) from None
    first = positional[0].name
    if first not in hints or (isinstance(hints[first], type) and issubclass(hints[first], Job)):
        msg = (
            f"annotate {first!r} of {label} with the type of the payload, as in "
            f"`{first}: Welcome`; a function that takes the job alone is for @service.handler"
        )
        raise ConfigError(msg)
    return len(positional), hints[first]
