"""The sandbox: a service of an app on a store that is gone after the test."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Generator
from contextlib import closing
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self
from unittest.mock import ANY

from jobyard import sync
from jobyard.durations import Duration, to_ms
from jobyard.errors import ConfigError
from jobyard.handle import Job
from jobyard.hooks import Draft
from jobyard.job import JobState
from jobyard.memory import MemoryBackend
from jobyard.memory.place import store_named
from jobyard.query import JobQuery
from jobyard.service import QueueService
from jobyard.signals import Signal
from jobyard.testing.clock import FrozenClock
from jobyard.url import BackendUrl

__all__ = ["Sandbox"]

EVERYTHING: Final = 2**31

TEN_YEARS_MS: Final = 10 * 366 * 24 * 3_600_000

BLOCKING: Final = "the service blocks, so await nothing: call sandbox.drain_blocking()"
AWAITED: Final = "the service is not of jobyard.sync: use `await sandbox.drain()`"


class SandboxBackend(MemoryBackend):
    """A memory store whose listeners are not forgotten when the clock leaps."""

    async def subscribe(self, subscription: str, *, ttl_ms: int) -> str:
        """Ask for events to be logged until the end of the test, or no more."""
        return await super().subscribe(subscription, ttl_ms=TEN_YEARS_MS if ttl_ms else 0)


class Sandbox:
    """Puts a memory store, and a clock that stands still, behind a service for a test.

    The app's code uses its service as ever, whether it opens it or not; nothing reaches the store
    of its URL. No job runs until `drain`, or, with `inline`, as part of the add. At the end the
    service is as it was, and the jobs are gone.

    Takes a `jobyard.QueueService` or a `jobyard.sync.QueueService` that is not open; as a context
    manager, `with` or `async with`. A store in memory can join no transaction of the app's, so an
    add `within` one raises `Unsupported`: test those on a SQLite file.
    """

    def __init__(
        self,
        service: QueueService | sync.QueueService,
        *,
        at: datetime | None = None,
        inline: bool = False,
    ) -> None:
        """Prepare; `at` is where the clock stands, now by default."""
        self._blocking = service if isinstance(service, sync.QueueService) else None
        self.service = service.asynchronous if isinstance(service, sync.QueueService) else service
        self.clock = FrozenClock(at)
        self._inline = inline
        self._is_draining = False
        self._raised: list[Exception] = []

    # -- life ---------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Put the memory store behind the service; raises `ConfigError` if it is open."""
        name = f"sandbox-{secrets.token_hex(8)}"
        self._before = self.service.backend
        self._store = store_named(name)  # kept alive, however often the app opens and closes
        url = BackendUrl.parse(f"memory://{name}")
        backend = SandboxBackend(url, namespace=self._before.namespace, clock=self.clock)
        self.service.stand_on(backend, opens_itself=True)
        self.service.handlers.surround(self._watch, outermost=True)
        if self._inline:
            self.service.hooks.around_add.append(self._run_at_once)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the service its own store back."""
        if self._blocking is not None:
            self._blocking._caller.reset()  # noqa: SLF001 - no app is to see a third state
        if self._inline:
            self.service.hooks.around_add.remove(self._run_at_once)
        self.service.handlers.unwrap(self._watch)
        self.service.abandon()
        self.service.stand_on(self._before)

    async def __aenter__(self) -> Self:
        """Put the memory store behind the service, and open that."""
        self.__enter__()
        await self.service.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the service, and give it its own store back."""
        await self.service.close()
        self.__exit__(kind, error, trace)

    # -- running ------------------------------------------------------------------------------

    async def drain(
        self, *, within: Duration = 0, concurrency: int = 1, raises: bool = True
    ) -> int:
        """Run what is due, and what comes of it, until nothing is; return how many runs there were.

        Jobs start in the order in which a worker would take them; ticks of schedules that have come
        are fired. With `within`, the clock moves on through the next so many seconds, stopping at
        each instant at which a job or a tick becomes due: retries and delayed jobs run too, each at
        its time.

        What a handler raises is raised here, the first of several, once its job has been dealt with
        as in production: it waits for its next attempt, or has failed. With `raises=False` nothing
        is raised, for tests of what becomes of such jobs. `Retry`, `Snooze` and their like never
        are: they are no errors.
        """
        if self._blocking is not None:
            raise ConfigError(BLOCKING)
        return await self._drain(within=within, concurrency=concurrency, raises=raises)

    def drain_blocking(
        self, *, within: Duration = 0, concurrency: int = 1, raises: bool = True
    ) -> int:
        """Do what `drain` does, for a `jobyard.sync.QueueService`."""
        if self._blocking is None:
            raise ConfigError(AWAITED)
        runs = 0
        with closing(self._rounds(within, raises=raises)) as rounds:
            for _ in rounds:
                runs += self._blocking.run_until_idle(concurrency=concurrency)
        return runs

    async def _drain(self, *, within: Duration, concurrency: int, raises: bool) -> int:
        runs = 0
        with closing(self._rounds(within, raises=raises)) as rounds:
            for _ in rounds:
                runs += await self.service.run_until_idle(concurrency=concurrency)
        return runs

    def _rounds(self, within: Duration, *, raises: bool) -> Generator[None]:
        """Come by whenever what is due has to be run, at each instant up to the last."""
        end = self.clock.now_ms() + to_ms(within, "within")
        self._raised.clear()
        self._is_draining = True
        try:
            while True:
                yield
                if raises and self._raised:
                    raise self._raised[0]
                due = self._next_due()
                if due is None or due > end:
                    break
                self.clock.advance((due - self.clock.now_ms()) / 1000)
        finally:
            self._is_draining = False
        self.clock.advance((end - self.clock.now_ms()) / 1000)

    def _next_due(self) -> int | None:
        """Tell when, after now, a delayed job or a tick becomes due next."""
        now = self.clock.now_ms()
        engine = self._engine
        query = JobQuery(states=frozenset({JobState.DELAYED}), limit=EVERYTHING)
        instants = [record.due_at for record in engine.find(query).items]
        schedules = engine.schedules(now=now, limit=EVERYTHING).items
        instants += [each.next_at for each in schedules if each.next_at is not None]
        return min((instant for instant in instants if instant > now), default=None)

    async def _watch(self, job: Job, run: Callable[[Job], Awaitable[Any]]) -> Any:
        try:
            return await run(job)
        except Signal:
            raise
        except Exception as error:
            self._raised.append(error)
            raise

    async def _run_at_once(
        self, drafts: list[Draft], add: Callable[[list[Draft]], Awaitable[list[Job]]]
    ) -> list[Job]:
        jobs = await add(drafts)
        if not self._is_draining:  # or a handler is adding, and its job will run after it
            await self._drain(within=0, concurrency=1, raises=True)
        return jobs

    # -- looking ------------------------------------------------------------------------------

    @property
    def _engine(self) -> Any:
        return self._store.place(self._before.namespace).engine

    def jobs(self, queue: object = ANY, name: object = ANY) -> list[Job]:
        """List the jobs that are stored, in the order added, whatever their state; no I/O.

        One that its options had removed at its end is not there any more.
        """
        found = self._engine.find(JobQuery(limit=EVERYTHING)).items
        wanted = "" if name is None else name
        return [
            Job(record, self.service, state=record.state)
            for record in found
            if record.queue == queue and record.name == wanted
        ]

    def assert_enqueued(
        self,
        queue: object = ANY,
        name: object = ANY,
        data: object = ANY,
        *,
        count: int | None = None,
    ) -> Job:
        """Return the latest job that fits, in whatever state; `AssertionError` if there is none.

        What is not given fits anything, and so does `unittest.mock.ANY` within `data`. A job of a
        definition has a payload of its type. `count` is how many have to fit, at least one if it
        is not given.
        """
        fitting = self._fitting(queue, name, data)
        if not fitting or count not in (None, len(fitting)):
            wanted = _shown(queue, name, data)
            many = "no job" if not fitting else f"{len(fitting)} jobs, not {count},"
            msg = f"{many} like {wanted}; {self._there()}"
            raise AssertionError(msg)
        return fitting[-1]

    def assert_not_enqueued(
        self, queue: object = ANY, name: object = ANY, data: object = ANY
    ) -> None:
        """Raise `AssertionError` if a job fits, as it would for `assert_enqueued`."""
        fitting = self._fitting(queue, name, data)
        if fitting:
            msg = (
                f"{len(fitting)} of the jobs are like {_shown(queue, name, data)}; " + self._there()
            )
            raise AssertionError(msg)

    def _fitting(self, queue: object, name: object, data: object) -> list[Job]:
        return [job for job in self.jobs(queue, name) if data == job.data]

    def _there(self) -> str:
        jobs = self.jobs()
        if not jobs:
            return "no job was added"
        lines = [f"  {_shown(job.queue, job.name or None, job.data)} {job.state}" for job in jobs]
        return "there are\n" + "\n".join(lines)


def _shown(queue: object, name: object, data: object) -> str:
    words = ["any" if each is ANY else repr(each) for each in (queue, name, data)]
    return f"({', '.join(words)})"
