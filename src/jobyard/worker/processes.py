"""Plain functions in processes of their own, which can be killed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final, assert_never

from jobyard import codec
from jobyard.durations import EARLIEST
from jobyard.errors import ConfigError
from jobyard.failure import JobError
from jobyard.handle import Job
from jobyard.signals import Discard, RateLimited, Retry, Snooze
from jobyard.worker.child import find
from jobyard.worker.wire import (
    LENGTH_BYTES,
    Again,
    Answer,
    Call,
    Failure,
    FromProcess,
    Later,
    Limited,
    Ready,
    Setup,
    Value,
    Word,
    decode_answer,
    framed,
)

__all__ = ["ProcessDied", "Processes"]

CLOSE_SECONDS: Final = 1.0

OUT_OF_TURN: Final = "the process of the handler answered out of turn"


class ProcessDied(Exception):
    """The process of a handler ended in the middle of its run."""


class Child:
    """One process, which runs one call at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Talk to a process that has just been started."""
        self._process = process

    async def ask(self, word: Word) -> Answer:
        """Send a word and wait for its answer; raise `ProcessDied` when none comes."""
        inbox, outbox = self._process.stdin, self._process.stdout
        assert inbox is not None
        assert outbox is not None
        try:
            inbox.write(framed(word))
            await inbox.drain()
            head = await outbox.readexactly(LENGTH_BYTES)
            return decode_answer(await outbox.readexactly(int.from_bytes(head, "big")))
        except (asyncio.IncompleteReadError, ConnectionError):
            code = await self._process.wait()
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            msg = f"the process of the handler ended {how} before the handler did"
            raise ProcessDied(msg) from None

    @property
    def is_alive(self) -> bool:
        """Whether it can be talked to."""
        return self._process.returncode is None

    async def kill(self) -> None:
        """End it at once."""
        if self.is_alive:
            self._process.kill()
        self._let_go()
        await self._process.wait()

    async def dismiss(self) -> None:
        """Let it end by itself, since it has nothing to do."""
        self._let_go()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    def _let_go(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


class Processes:
    """The processes of a worker: each started when none is idle, killed when its run is cut."""

    def __init__(self) -> None:
        """Begin without a process."""
        self._idle: list[Child] = []
        self._is_closed = False

    def caller(
        self, function: Callable[..., object], *, takes_job: bool
    ) -> Callable[[Job], Coroutine[Any, Any, object]]:
        """Make the coroutine function that runs a handler in a process."""
        module, name = _place_of(function)

        async def call(job: Job) -> object:
            return _value_of(await self._ask(_call(job, module, name, takes_job=takes_job)))

        return call

    async def warm(self) -> None:
        """Make sure that a process is there to take a call; this does not count as its run."""
        if not any(child.is_alive for child in self._idle):
            self._idle.append(await self._start())

    async def close(self) -> None:
        """End the idle processes; those that run are killed as their runs are cut."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(child.dismiss() for child in idle))

    async def _ask(self, call: Call) -> Answer:
        child = await self._take()
        try:
            answer = await child.ask(call)
        except BaseException:
            await _surely(child.kill())
            raise
        if self._is_closed:
            await child.dismiss()
        else:
            self._idle.append(child)
        return answer

    async def _take(self) -> Child:
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                return child
        return await self._start()

    async def _start(self) -> Child:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from jobyard.worker.child import main; main()",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        child = Child(process)
        try:
            answer = await child.ask(Setup(_facts()))
        except BaseException:
            await _surely(child.kill())
            raise
        if isinstance(answer, Ready):
            return child
        await _surely(child.kill())
        if isinstance(answer, Failure):
            raise _not_set_up(answer.error)
        raise ProcessDied(OUT_OF_TURN)


async def _surely(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a short coroutine to its end, cancelled or not."""
    task = asyncio.get_running_loop().create_task(coroutine)
    await asyncio.wait([task])
    task.result()


def _facts() -> dict[str, Any]:
    """Tell a process what multiprocessing tells its own: paths, folder, the main module."""
    # Few workers have such handlers, and this import is not a small one.
    import multiprocessing.spawn  # noqa: PLC0415

    facts = multiprocessing.spawn.get_preparation_data("jobyard handler")
    facts.pop("authkey", None)
    return facts


def _place_of(function: Callable[..., object]) -> tuple[str, str]:
    """Tell where a process finds a function."""
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    try:
        is_found = module is not None and name is not None and find(module, name) is function
    except (AttributeError, ImportError):
        is_found = False
    if module is None or name is None or not is_found:
        msg = f"{function!r} cannot be imported by its name, so no process of its own can run it"
        raise ConfigError(msg)
    return module, name


def _call(job: Job, module: str, name: str, *, takes_job: bool) -> Call:
    written_as, payload = job.portable_payload()
    return Call(
        module=module,
        function=name,
        takes_job=takes_job,
        stack_limit=job.stack_limit,
        id=job.id,
        queue=job.queue,
        name=job.name,
        codec=written_as,
        payload=payload,
        attempt=job.attempt,
        attempts=job.attempts,
        fence=job.fence,
        headers=dict(job.headers),
        tags=job.tags,
    )


def _value_of(answer: Answer) -> object:
    """Return what the function returned, or raise what it raised."""
    match answer:
        case Value(data):
            return codec.decode(data, what="the result")
        case Failure(error, is_final):
            raise _failure(error, is_final=is_final)
        case Again(error, delay_ms):
            delay = None if delay_ms is None else delay_ms / 1000
            raise Retry(error.message, delay=delay) from FromProcess(error)
        case Later(at_ms, delay_ms):
            raise _snooze(at_ms, delay_ms or 0)
        case Limited(delay_ms, only_name):
            raise RateLimited(delay_ms / 1000, only_name=only_name)
        case Ready():
            raise ProcessDied(OUT_OF_TURN)
        case _:
            assert_never(answer)


def _failure(described: JobError, *, is_final: bool) -> Exception:
    error = FromProcess(described)
    if not is_final:
        return error
    final = Discard(described.message)
    final.__cause__ = error
    return final


def _not_set_up(error: JobError) -> ProcessDied:
    """Make the error of a process that could not import the program of its worker."""
    died = ProcessDied("the process of the handler could not import the main module")
    died.__cause__ = FromProcess(error)
    return died


def _snooze(at_ms: int | None, delay_ms: int) -> Snooze:
    if at_ms is not None:
        return Snooze(EARLIEST + timedelta(milliseconds=at_ms))
    return Snooze(delay_ms / 1000)
