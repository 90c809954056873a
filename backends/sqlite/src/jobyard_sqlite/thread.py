"""A thread that calls are handed to, one after another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

Call = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Thread:
    """Runs calls in the order given; half the cost of an executor's hop.

    It is a daemon: a handle that nobody closed must not keep the interpreter from ending.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Hand a call over; it runs to its end even if nobody waits for its answer."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.put((function, future))
        return future

    async def finish(self) -> None:
        """Return when the calls handed over so far are done, one of which may wait for a lock.

        At once where that cannot be waited for: in another event loop, or in a fork.
        """
        if self._thread.is_alive() and asyncio.get_running_loop() is self._loop:
            await self.call(_nothing)

    def stop(self) -> None:
        """End the thread after the calls handed over so far, and wait until it has ended."""
        self._calls.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            function, future = call
            try:
                answer = function()
            except BaseException as error:  # noqa: BLE001 - told to the caller, whatever it is
                told = self._tell(_fail, future, error)
            else:
                told = self._tell(_answer, future, answer)
            del call, function, future
            if not told:
                return

    def _tell(self, how: Callable[..., None], future: asyncio.Future[Any], what: object) -> bool:
        """Answer in the event loop; tell whether there still is one."""
        try:
            self._loop.call_soon_threadsafe(how, future, what)
        except RuntimeError:
            return False
        return True


def _nothing() -> None:
    """Come to an end when all that was called before has."""


def _answer(future: asyncio.Future[Any], answer: object) -> None:
    if not future.done():
        future.set_result(answer)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
