"""Which handler runs which jobs in this worker, and which jobs it may claim right now."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Literal, assert_never

from jobyard.errors import ConfigError
from jobyard.handle import Job
from jobyard.handlers import BatchOptions, Handler, HandlerKind, Handlers
from jobyard.hooks import surround
from jobyard.lease import MAX_BATCH, Source
from jobyard.run import Run
from jobyard.worker.batches import Batcher
from jobyard.worker.processes import Processes
from jobyard.worker.threads import Threads

__all__ = ["OrphanPolicy", "Route", "Routes"]

OrphanPolicy = Literal["leave", "fail"]
Call = Callable[[Job], Coroutine[Any, Any, object]]
Warm = Callable[[], Coroutine[Any, Any, None]]


class Route:
    """A handler as this worker calls it, and how many of its runs there are.

    `call` is what runs for a job: the handler within the hooks around it.
    `warm`, where there is one, gets ready what a run needs before its time begins to count.
    `parked` holds runs that wait for their turn, when a claim could not respect the limit.
    """

    __slots__ = ("active", "call", "can_be_cut", "handler", "limit", "parked", "warm")

    def __init__(self, handler: Handler, call: Call, warm: Warm | None) -> None:
        self.active = 0
        self.parked: deque[Run] = deque()
        self.lead_to(handler, call, warm)

    def lead_to(self, handler: Handler, call: Call, warm: Warm | None) -> None:
        """Take another handler, as when one is replaced; the runs of the old one still count."""
        self.handler = handler
        self.call = call
        self.warm = warm
        self.can_be_cut = handler.kind is not HandlerKind.THREAD
        self.limit = handler.job_limit


class Routes:
    """The routes of the handlers, kept in step with them, and the sources of the next claim."""

    def __init__(
        self,
        handlers: Handlers,
        queues: Sequence[str] | None,
        *,
        channels: Sequence[str | None] | None,
        concurrency: int,
        orphan_policy: OrphanPolicy,
        threads: Threads,
        processes: Processes,
    ) -> None:
        """Serve the given queues, or all that have handlers; of these all channels, or some."""
        self._handlers = handlers
        self._queues = None if queues is None else tuple(dict.fromkeys(queues))
        self._channels = None if channels is None else tuple(each or "" for each in channels)
        self._concurrency = concurrency
        self._orphan_policy = orphan_policy
        self._threads = threads
        self._processes = processes
        self._version = -1
        self._layers = 0
        self._sources: tuple[Source, ...] | None = None
        self._lanes: dict[tuple[str, str], Route] = {}
        self._undeclared: list[Handler] = []
        self.find = self._lanes.get

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that this worker serves."""
        return self._handlers.queues() if self._queues is None else self._queues

    @property
    def leaves_orphans(self) -> bool:
        """Whether jobs without a handler are left alone."""
        return self._orphan_policy == "leave"

    def changed(self) -> None:
        """Reckon the sources anew before the next claim: a limited route's runs have changed."""
        self._sources = None

    def sources(self) -> tuple[Source, ...]:
        """Tell where jobs may be claimed now; empty when every handler is at its limit."""
        if self._version != self._handlers.version:
            self._renew()
        if self._sources is None:
            self._sources = tuple(
                source for queue in self.queues for source in self._sources_of(queue)
            )
        return self._sources

    def undeclared(self) -> list[Handler]:
        """Tell the handlers whose rates the store has to be told before their jobs are claimed."""
        if self._version != self._handlers.version:
            self._renew()
        return self._undeclared

    def __iter__(self) -> Iterator[Route]:
        """Go through the routes."""
        return iter(self._lanes.values())

    def _sources_of(self, queue: str) -> list[Source]:
        if not self.leaves_orphans:
            return [Source(queue=queue, channels=self._channels)]
        shared: list[str] = []
        sources: list[Source] = []
        for handler in self._handlers.of_queue(queue):
            route = self._lanes[queue, handler.name]
            if route.limit is None:
                shared.append(handler.name)
            elif (free := route.limit - route.active) > 0:
                sources.append(
                    Source(
                        queue=queue,
                        names=(handler.name,),
                        channels=self._channels,
                        limit=min(free, MAX_BATCH),
                    )
                )
        if shared:
            sources.append(Source(queue=queue, names=tuple(shared), channels=self._channels))
        return sources

    def _renew(self) -> None:
        """Follow the handlers: those that are new, and those that were replaced."""
        self._version = self._handlers.version
        self._sources = None
        queues = set(self.queues)
        for handler in self._handlers:
            if handler.queue not in queues:
                continue
            lane = (handler.queue, handler.name)
            route = self._lanes.get(lane)
            if handler.rate is not None and (route is None or route.handler is not handler):
                self._undeclared.append(handler)
            if route is None:
                self._lanes[lane] = Route(handler, self._call_of(handler), self._warm_of(handler))
            elif route.handler is not handler or self._layers != len(self._handlers.around):
                route.lead_to(handler, self._call_of(handler), self._warm_of(handler))

        self._layers = len(self._handlers.around)

    def _call_of(self, handler: Handler) -> Call:
        """Make what runs for a job: the handler, and the hooks around it."""
        return surround(self._handlers.around, self._bare_call_of(handler))

    def _bare_call_of(self, handler: Handler) -> Call:
        takes_job = _takes_an_argument(handler.function)
        if handler.batch is not None:
            return self._in_batches(handler, handler.batch)
        match handler.kind:
            case HandlerKind.ASYNC:
                return _in_loop(handler.function, takes_job=takes_job)
            case HandlerKind.THREAD:
                return self._threads.caller(handler.function, takes_job=takes_job)
            case HandlerKind.PROCESS:
                return self._processes.caller(handler.function, takes_job=takes_job)
            case _:
                assert_never(handler.kind)

    def _in_batches(self, handler: Handler, batch: BatchOptions) -> Call:
        if self._concurrency < batch.size:
            msg = (
                f"{handler.label} takes batches of {batch.size} jobs: its worker needs a "
                f"concurrency of at least that, not {self._concurrency}"
            )
            raise ConfigError(msg)
        call = handler.function
        if handler.kind is HandlerKind.THREAD:
            call = self._threads.batch_caller(handler.function)
        return Batcher(call, batch, calls=handler.concurrency).join

    def _warm_of(self, handler: Handler) -> Warm | None:
        return self._processes.warm if handler.kind is HandlerKind.PROCESS else None


def _in_loop(function: Callable[..., Any], *, takes_job: bool) -> Call:
    if takes_job:
        return function
    return lambda _job: function()


def _takes_an_argument(function: Callable[..., Any]) -> bool:
    """Whether the handler can be called with the job; if that is not known it is."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    kinds = {parameter.kind for parameter in parameters}
    return bool(
        kinds
        & {
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            inspect.Parameter.VAR_POSITIONAL,
        }
    )
