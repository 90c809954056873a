"""Batches: one call of a handler for several jobs, each of which is a run of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from jobyard.durations import to_ms
from jobyard.handle import Job
from jobyard.handlers import BatchOptions

__all__ = ["Batcher"]

Call = Callable[[list[Job]], Coroutine[Any, Any, object]]


class Member:
    """A job that waits for its part of what a call comes to."""

    __slots__ = ("ended", "job")

    def __init__(self, job: Job, ended: asyncio.Future[object]) -> None:
        self.job = job
        self.ended = ended


class Failed:
    """What a call came to for a job, if not a result; a future must not hold it as its error.

    Each of its jobs raises it anew, with the traceback that it had, so that none shows the others'.
    """

    __slots__ = ("error", "trace")

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.trace = error.__traceback__ and error.__traceback__.tb_next

    def again(self) -> BaseException:
        """Give the error as it was."""
        return self.error.with_traceback(self.trace)


class Batcher:
    """Gathers the jobs of a handler, and calls it when there are enough or the first has waited.

    Each job stays a run of its own in a slot of its own: it keeps its lease, its time limit and its
    cancellation, and is settled alone. A run that is ended early leaves its call, which goes on for
    the others; a call that all have left is cancelled. With `calls` so many go on at once at most,
    and jobs gather meanwhile.
    """

    def __init__(self, call: Call, options: BatchOptions, *, calls: int | None) -> None:
        self._call = call
        self._size = options.size
        self._wait = to_ms(options.wait, "the wait of a batch") / 1000
        self._most_calls = calls
        self._gathering: list[Member] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_due = False
        self._calls: dict[asyncio.Task[None], list[Member]] = {}

    async def join(self, job: Job) -> object:
        """Give a job to the next call; return what that comes to for it, or raise it."""
        member = Member(job, asyncio.get_running_loop().create_future())
        self._gather(member)
        try:
            value = await member.ended
        except asyncio.CancelledError:
            self._leave(member)
            raise
        if isinstance(value, Failed):
            raise value.again()
        return value

    def _gather(self, member: Member) -> None:
        self._gathering.append(member)
        if len(self._gathering) >= self._size:
            self._begin()
        elif self._timer is None and not self._is_due:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._wait, self._begin)

    def _leave(self, member: Member) -> None:
        if member in self._gathering:
            self._gathering.remove(member)
            if not self._gathering:
                self._settle_down()
            return
        for task, members in self._calls.items():
            if member in members and all(each.ended.done() for each in members):
                task.cancel()

    def _begin(self) -> None:
        """Call the handler with what has gathered, as soon as another call may go on."""
        self._settle_down()
        if self._most_calls is not None and len(self._calls) >= self._most_calls:
            self._is_due = True
            return
        members = self._gathering[: self._size]
        del self._gathering[: self._size]
        if not members:
            return
        task = asyncio.get_running_loop().create_task(self._run(members), name="jobyard batch")
        self._calls[task] = members
        task.add_done_callback(self._ended)
        self._go_on_gathering()

    def _go_on_gathering(self) -> None:
        """See to those that were too many for one call."""
        if len(self._gathering) >= self._size:
            self._begin()
        elif self._gathering:
            self._timer = asyncio.get_running_loop().call_later(self._wait, self._begin)

    def _settle_down(self) -> None:
        self._is_due = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ended(self, task: asyncio.Task[None]) -> None:
        members = self._calls.pop(task)
        if task.cancelled():
            _spread(members, [asyncio.CancelledError()] * len(members))
        if self._is_due or len(self._gathering) >= self._size:
            self._begin()

    async def _run(self, members: list[Member]) -> None:
        jobs = [member.job for member in members]
        try:
            values = _values_of(await self._call(jobs), len(jobs))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything (F22)
            values = [error] * len(jobs)
        _spread(members, values)


def _values_of(value: object, count: int) -> list[object]:
    """Read what a handler of batches returned."""
    if value is None:
        return [None] * count
    if isinstance(value, list | tuple) and len(value) == count:
        return list(value)
    shown = f"{len(value)} of them" if isinstance(value, list | tuple) else type(value).__name__
    msg = (
        f"a handler of batches returns nothing, or a list with a result for each of its jobs: "
        f"it had {count} and returned {shown}"
    )
    raise TypeError(msg)


def _spread(members: list[Member], values: list[Any]) -> None:
    """Let each job have its part; who has left needs none."""
    for member, value in zip(members, values, strict=True):
        if not member.ended.done():
            failed = isinstance(value, BaseException)
            member.ended.set_result(Failed(value) if failed else value)
