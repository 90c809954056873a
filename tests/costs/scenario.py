"""One fixed scenario, and what it costs a store: counts that no clock and no load can change.

The store's clock stands still. A worker's own time stands still too while it drains, so that a slot
never pauses for others and a batch is always whole. What an idle worker calls in a minute is
recorded in virtual time, without chance, and then called on the store that is measured.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple
from unittest import mock

from tests.costs.meters import Counts, Meter
from tests.virtual import LoopClock, VirtualLoop

from jobyard import Job, QueueService
from jobyard.backend import Backend
from jobyard.clock import ManualClock
from jobyard.worker import Worker

QUEUE: Final = "emails"
NAME: Final = "send"
SLOTS: Final = 100
ONE_BY_ONE: Final = 100
TOGETHER: Final = 50
IN_BULK: Final = 1_000
JOBS: Final = ONE_BY_ONE + TOGETHER + IN_BULK
MINUTE: Final = 60.0
SETTLED: Final = 30.5
"""Seconds after which a worker does what it does all the time; nothing falls on its ends."""

STEPS: Final = {
    "one by one": f"{ONE_BY_ONE} jobs, added one by one",
    "together": f"{TOGETHER} jobs, added by as many tasks at once",
    "in bulk": f"{IN_BULK:,} jobs, added in one call",
    "drain": f"these {JOBS:,} jobs, run by a worker with {SLOTS} slots",
    "idle": "a minute of an idle worker",
}


class Entry(NamedTuple):
    """How often a method of the backend was called in a step, and what that made the store run."""

    step: str
    method: str
    calls: int
    counts: Counts


Call = tuple[str, tuple[Any, ...], dict[str, Any]]


class Account:
    """Notes each call of an opened backend, one at a time, with what the store ran for it."""

    def __init__(self, backend: Backend, meter: Meter | None = None) -> None:
        self.made: list[Call] = []
        self.calls: Counter[str] = Counter()
        self._counts: dict[str, list[int]] = {}
        self._meter = meter
        self._turn = asyncio.Lock()
        self._is_inside: ContextVar[bool] = ContextVar("is_inside", default=False)
        for name in Backend.__abstractmethods__:
            member = getattr(backend, name)
            if inspect.iscoroutinefunction(member):
                setattr(backend, name, self._noting(name, member))

    def _noting(
        self, name: str, member: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        async def noted(*args: Any, **kwargs: Any) -> Any:
            if self._is_inside.get():  # a method by way of another is one call
                return await member(*args, **kwargs)
            async with self._turn:
                self._is_inside.set(True)
                try:
                    return await self._measured(name, member, args, kwargs)
                finally:
                    self._is_inside.set(False)

        return noted

    async def _measured(
        self,
        name: str,
        member: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        self.made.append((name, args, kwargs))
        self.calls[name] += 1
        before = () if self._meter is None else self._meter.read()
        answer = await member(*args, **kwargs)
        after = () if self._meter is None else self._meter.read()
        parts = self._counts.setdefault(name, [0] * len(after))
        for place, (now, then) in enumerate(zip(after, before, strict=True)):
            parts[place] += now - then
        return answer

    def take(self, step: str, methods: tuple[str, ...]) -> list[Entry]:
        """Tell what was noted of these methods, and begin anew."""
        entries = [
            Entry(step, name, self.calls[name], tuple(self._counts[name]))
            for name in sorted(methods)
            if self.calls[name]
        ]
        self.made.clear()
        self.calls.clear()
        self._counts.clear()
        return entries


async def ignore(job: Job) -> None:
    """A handler that does nothing and never waits."""


async def measure(meter: Meter) -> list[Entry]:
    """Run the scenario on a store, twice: what is made once a store is made before it counts."""
    minute = await asyncio.to_thread(idle_minute)
    async with QueueService(meter.url, clock=ManualClock()) as service:
        service.register_worker(QUEUE, NAME, ignore)
        account = Account(service.backend, meter)
        await _run(service, account, minute)
        return await _run(service, account, minute)


async def _run(service: QueueService, account: Account, minute: list[Call]) -> list[Entry]:
    await service.ready()
    account.take("", ())
    for number in range(ONE_BY_ONE):
        await service.add_job(QUEUE, NAME, number)
    found = account.take("one by one", ("add",))
    await asyncio.gather(*(service.add_job(QUEUE, NAME, n) for n in range(TOGETHER)))
    found += account.take("together", ("add",))
    await service.add_jobs(QUEUE, [(NAME, number) for number in range(IN_BULK)])
    found += account.take("in bulk", ("add",))
    ran = await _drain(service)
    assert ran == JOBS, f"{ran} runs of {JOBS} jobs"
    # What a worker does for all beside that, it does by the clock: it counts in its idle minute.
    found += account.take("drain", ("claim", "settle", "extend"))
    for method, args, kwargs in minute:
        await getattr(service.backend, method)(*args, **kwargs)
    return found + account.take("idle", tuple({method for method, _, _ in minute}))


async def _drain(service: QueueService) -> int:
    worker = Worker(service, concurrency=SLOTS, monotonic=lambda: 0.0)
    return await worker.run_until_idle()


def idle_minute() -> list[Call]:
    """Record what a worker without work calls in a minute, in virtual time and without chance."""

    async def live() -> list[Call]:
        loop = asyncio.get_running_loop()
        async with QueueService("memory://", clock=LoopClock(loop)) as service:
            service.register_worker(QUEUE, NAME, ignore)
            await service.ready()
            account = Account(service.backend)
            async with Worker(service, monotonic=loop.time):
                await asyncio.sleep(SETTLED)
                account.made.clear()  # what it does once, at its start
                await asyncio.sleep(MINUTE)
                return list(account.made)

    with _without_chance(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(live())


@contextmanager
def _without_chance() -> Iterator[None]:
    """Let every wait that is spread at random take its middle length."""
    with mock.patch.object(random, "random", return_value=0.5):
        yield
