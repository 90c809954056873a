"""Writing a history: a file of one process, and handles whose calls are written down."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import msgspec

from jobyard.backend import Backend
from jobyard.errors import BackendError, JobyardError
from jobyard.lease import Lease
from jobyard.query import JobQuery
from jobyard.schedule import ScheduleRecord
from jobyard_conformance.history.notes import NOTED
from jobyard_conformance.history.records import JobNote, Kind, Phase, Record, digest
from jobyard_conformance.yard import listed

__all__ = ["Recorder", "Session", "scheduled"]


class Recorder:
    """The history of this process, in a file that only it writes to.

    Each record is one `write` to a file opened for appending, so that a kill leaves at most its
    last line torn.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._numbers = count(1)
        self._encode = msgspec.json.Encoder().encode

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def write(self, kind: Kind, phase: Phase, session: str, **fields: Any) -> int:
        """Write a record and tell its number, which is a new one unless given."""
        number: int = fields.pop("number", None) or next(self._numbers)
        record = Record(
            kind=kind,
            phase=phase,
            session=session,
            pid=os.getpid(),
            number=number,
            at=time.monotonic_ns(),
            **fields,
        )
        os.write(self._file, self._encode(record) + b"\n")
        return number

    def observe(self, inner: Backend, session: str) -> Session:
        """Write down the calls made on a handle, as those of a session."""
        return Session(inner, self, session)


class Session:
    """A handle whose calls are written down: `backend` is used in its place."""

    def __init__(self, inner: Backend, recorder: Recorder, name: str) -> None:
        self.name = name
        self.backend = _observed(inner, recorder, name)
        self._inner = inner
        self._recorder = recorder

    def start(self, lease: Lease) -> None:
        """Tell that the handler of a job begins to run."""
        note = JobNote(id=lease.job_id, lease=lease.lease_id, fence=lease.fence)
        self._recorder.write(Kind.START, Phase.OK, self.name, jobs=(note,))

    def effect(self, lease: Lease) -> None:
        """Tell of a write to something outside, which accepted it."""
        note = JobNote(id=lease.job_id, lease=lease.lease_id, fence=lease.fence, answer="ok")
        self._recorder.write(Kind.EFFECT, Phase.OK, self.name, jobs=(note,))

    def fault(self, text: str, *, victim: int = 0) -> None:
        """Tell of a kill, a cut, a restart; `victim` is the process that it befell."""
        self._recorder.write(Kind.FAULT, Phase.OK, self.name, text=text, victim=victim)

    def leave(self) -> None:
        """Tell that this session ends in good order."""
        self._recorder.write(Kind.LEAVE, Phase.OK, self.name)

    async def final(self, *, drained: bool, queue: str | None = None) -> None:
        """Write down all that there is, or all of a queue, with the counts that the store tells."""
        counts: dict[str, int] = {}
        for info in await self._inner.queues(None if queue is None else [queue]):
            for state, number in msgspec.structs.asdict(info.counts).items():
                counts[state] = counts.get(state, 0) + number
        jobs = tuple(
            JobNote(
                id=each.id,
                queue=each.queue,
                no=each.no,
                priority=each.priority,
                due=each.due_at,
                fence=each.fence,
                failures=each.failures,
                crashes=each.crashes,
                state=each.state.value,
                digest=digest(each.result),
            )
            for each in await listed(self._inner, JobQuery(queue=queue))
        )
        self._recorder.write(
            Kind.FINAL,
            Phase.OK,
            self.name,
            jobs=jobs,
            counts=counts,
            fired={each.key: each.fired for each in await scheduled(self._inner)},
            drained=drained,
            queues=() if queue is None else (queue,),
        )


def _observed(inner: Backend, recorder: Recorder, session: str) -> Backend:
    """Make a handle that passes for the inner one's kind, so that a service takes it as a store."""
    members: dict[str, object] = {
        name: _Passed() for name in dir(Backend) if not name.startswith("_")
    }
    members |= {"contract": inner.contract, "capabilities": inner.capabilities}
    made = type(f"Observed{type(inner).__name__}", (_Observed, Backend), members)
    handle = cast("_Observed", object.__new__(made))
    handle.watch(inner, recorder, session)
    return cast("Backend", handle)


class _Passed:
    """A member of a handle that is the inner handle's; a call that counts is written down."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, handle: _Observed | None, owner: type) -> object:
        return self if handle is None else handle.member(self._name)


class _Observed:
    """A handle that writes down what it is asked before the call, and what it answered after."""

    def watch(self, inner: Backend, recorder: Recorder, session: str) -> None:
        """Write down the calls of a handle."""
        self._inner = inner
        self._recorder = recorder
        self._session = session
        vars(self).update(url=inner.url, namespace=inner.namespace, clock=inner.clock)

    def member(self, name: str) -> object:
        """Give a member of the inner handle."""
        member = getattr(self._inner, name)
        if name not in NOTED:
            return member
        return self._observing(name, cast("Callable[..., Awaitable[object]]", member))

    def _observing(
        self, method: str, call: Callable[..., Awaitable[object]]
    ) -> Callable[..., Awaitable[object]]:
        async def observed(*args: object, **kwargs: object) -> object:
            asked = NOTED[method](*args, **kwargs)
            numbers = [self._write(each.kind, Phase.INVOKE, **each.fields) for each in asked]
            try:
                answer = await call(*args, **kwargs)
            except BaseException as error:
                phase = Phase.FAIL if _changed_nothing(error) else Phase.INFO
                for each, number in zip(asked, numbers, strict=True):
                    text = f"{type(error).__name__}: {error}"
                    self._write(each.kind, phase, number=number, text=text)
                raise
            for each, number in zip(asked, numbers, strict=True):
                self._write(each.kind, Phase.OK, number=number, **each.told(answer))
            return answer

        return observed

    def _write(self, kind: Kind, phase: Phase, **fields: Any) -> int:
        if (clock := self._inner.clock) is not None:
            fields.setdefault("store_at", clock.now_ms())
        return self._recorder.write(kind, phase, self._session, **fields)


async def scheduled(handle: Backend) -> list[ScheduleRecord]:
    """List every schedule."""
    found: list[ScheduleRecord] = []
    after: str | None = None
    while True:
        page = await handle.schedules(after=after)
        found += page.items
        if (after := page.next) is None:
            return found


def _changed_nothing(error: BaseException) -> bool:
    """Whether a call that raised this surely changed nothing: it was refused, not broken off."""
    return isinstance(error, JobyardError) and not isinstance(error, BackendError)
