"""Adds that share a round trip with others made meanwhile."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Final

from jobyard.job import Added, Unit

if TYPE_CHECKING:
    from jobyard.backend import Backend

__all__ = ["Coalescer"]

MOST_JOBS: Final = 1_000
"""How many jobs of strangers go in one call."""

Waiting = tuple[Unit, "asyncio.Future[tuple[Added, ...]]"]


class Coalescer:
    """Sends an add at once; those that come while it is in flight go together after it.

    There is no timer: an add that meets no other waits for nobody. Each unit stays whole and has
    its own answer; what is wrong with one is told to its caller alone.
    """

    def __init__(self, backend: Backend) -> None:
        """Send to a backend."""
        self._backend = backend
        self._waiting: list[Waiting] = []
        self._in_flight = False
        self._sender: asyncio.Task[None] | None = None

    async def add(self, unit: Unit) -> tuple[Added, ...]:
        """Store a unit; raises what the backend raises."""
        if self._in_flight:
            answer: asyncio.Future[tuple[Added, ...]]
            answer = asyncio.get_running_loop().create_future()
            self._waiting.append((unit, answer))
            return await answer
        self._in_flight = True
        try:
            (added,) = await self._backend.add((unit,))
        finally:
            self._landed()
        return added

    def _landed(self) -> None:
        """Send those that came meanwhile, in a task of their own, since this caller is done."""
        if self._waiting:
            self._sender = asyncio.get_running_loop().create_task(self._send_waiting())
        else:
            self._in_flight = False

    async def _send_waiting(self) -> None:
        try:
            while self._waiting:
                await self._send(self._take())
                # Who got an answer may add again at once: then all of them share the next call,
                # instead of the first going alone while the others wait for it.
                await asyncio.sleep(0)
        except BaseException as error:
            left, self._waiting = self._waiting, []
            _tell(left, error)
            raise
        finally:
            self._in_flight = False

    def _take(self) -> list[Waiting]:
        jobs = 0
        for count, (unit, _) in enumerate(self._waiting):
            jobs += len(unit)
            if jobs > MOST_JOBS and count:
                break
        else:
            count = len(self._waiting)
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    async def _send(self, batch: list[Waiting]) -> None:
        # One whose caller gave up before it was sent need not be stored.
        batch = [(unit, answer) for unit, answer in batch if not answer.done()]
        if not batch:
            return
        try:
            answers = await self._backend.add([unit for unit, _ in batch])
        except Exception as error:  # noqa: BLE001 - it is for the callers, whatever it is
            if len(batch) > 1 and not getattr(error, "transient", False):
                await self._send_apart(batch)
            else:
                _tell(batch, error)
            return
        except BaseException as error:
            _tell(batch, error)
            raise
        for (_, answer), added in zip(batch, answers, strict=True):
            if not answer.done():
                answer.set_result(added)

    async def _send_apart(self, batch: list[Waiting]) -> None:
        """Find out whom an error is meant for that may be about one of them."""
        try:
            for each in batch:
                await self._send([each])
        except BaseException as error:
            _tell(batch, error)
            raise


def _tell(batch: list[Waiting], error: BaseException) -> None:
    """Raise an error in those who still wait."""
    for _, answer in batch:
        if not answer.done():
            answer.set_exception(_own_copy(error))


def _own_copy(error: BaseException) -> BaseException:
    """Copy an error that several callers will raise: each adds its own traceback."""
    if isinstance(error, asyncio.CancelledError):
        return asyncio.CancelledError()
    try:
        own = copy.copy(error)
    except Exception:  # noqa: BLE001 - a stranger's error need not be one that can be copied
        return error
    own.__cause__ = error.__cause__ or error
    return own
