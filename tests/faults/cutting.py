"""Cancelling a call at any of its waits, one after the other, as the event loop does it."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from enum import Enum
from typing import Any

from tests.patience import PATIENCE

from jobyard.backend import Backend
from jobyard_conformance.builders import spec

KNOWN = 40
"""More than a pool has connections."""


class Moment(Enum):
    """When a caller that waits is cancelled."""

    BEGINS = "as it begins to wait"
    ENDS = "when what it waits for has come, and it does not know"


class Cut:
    """A call that is cancelled at its wait number `at`, if it has so many."""

    def __init__(self, call: Coroutine[Any, Any, object], at: int, moment: Moment) -> None:
        self._call = call
        self._at = at
        self._moment = moment
        self.waits = 0

    @property
    def came_to_its_end(self) -> bool:
        """Whether the call had fewer waits than would have been cut."""
        return self.waits < self._at

    async def made(self) -> None:
        """Make the call, to its end or to the cut."""
        task = asyncio.create_task(self._run())
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async def _run(self) -> object:
        return await self._stepped()

    @types.coroutine
    def _stepped(self) -> Generator[Any, Any, object]:
        task = asyncio.current_task()
        assert task is not None
        step: tuple[Callable[[Any], Any], Any] = (self._call.send, None)
        while True:
            try:
                awaited = step[0](step[1])
            except StopIteration as end:
                return end.value
            self.waits += 1
            if self.waits == self._at:
                if self._moment is Moment.BEGINS or awaited is None:
                    task.cancel()
                else:
                    # Told before the task is: it is woken with the answer there, and cancelled.
                    awaited.add_done_callback(lambda _: task.cancel())
            try:
                step = (self._call.send, (yield awaited))
            except BaseException as thrown:
                step = (self._call.throw, thrown)


async def know(handle: Backend) -> None:
    """Add what `answers_are_its_own` asks for."""
    await handle.add([tuple(spec(f"known-{n}", queue="known") for n in range(KNOWN))])


async def answers_are_its_own(handle: Backend) -> None:
    """See that every call has its own answer, and none waits for a connection for ever."""
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(*(handle.get([f"known-{n}"]) for n in range(KNOWN)))
    assert [[job and job.id for job in jobs] for jobs in answers] == [
        [f"known-{n}"] for n in range(KNOWN)
    ]
