"""Events for an app: listeners by name, fed from the store's log."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from jobyard import codec
from jobyard.backend import Capability
from jobyard.durations import from_ms
from jobyard.errors import BackendClosed, InvalidOption, PayloadDecodeError
from jobyard.events import EventKind, Notice, StoredEvent
from jobyard.failure import unpack_error

if TYPE_CHECKING:
    from jobyard.backend import Backend

__all__ = ["Announcer", "Event", "Listener"]

log = logging.getLogger("jobyard.events")

EVERY: Final = "*"
FINISHED: Final = "finished"
"""Told after the event that ends a job: `completed`, `failed` or `cancelled`."""

NAMES: Final = frozenset({*EventKind, FINISHED, EVERY})
ENDS: Final = frozenset({EventKind.COMPLETED, EventKind.FAILED, EventKind.CANCELLED})
SUBSCRIPTION_MS: Final = 30_000
RENEW_SECONDS: Final = 10.0
POLL_PUSHED_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.1
PAUSE_AFTER_ERROR_SECONDS: Final = 1.0
PAGE: Final = 1_000
LONGEST_PLACE: Final = 4


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, in this process or another.

    `data` is the result (`completed`), the failure as a `JobError` (`failed`, `attempt_failed`,
    `stalled`), the progress, or the key of the group (`group_deleted`). `duration` is the run's, in
    seconds. `id` is the place in the store's log: `QueueService.events(since=id)` goes on after it.
    The name `gap` stands for events that fell out of the log before they were read.
    """

    name: str
    at: datetime
    id: str = ""
    queue: str = ""
    job_id: str | None = None
    job_name: str | None = None
    worker_id: str | None = None
    attempt: int | None = None
    duration: float | None = None
    data: Any = None

    def __repr__(self) -> str:
        """Show what happened to what, never the data."""
        job = "" if self.job_id is None else f" {self.job_id}"
        return f"<Event {self.name} {self.queue}/{self.job_name or ''}{job} at {self.at}>"


Listener = Callable[[Event], Awaitable[None] | None]


class Announcer:
    """Calls the listeners of one service.

    It subscribes when the first listener comes; each event reaches each of its listeners once, in
    order. A listener that raises is logged and hinders nobody.
    """

    def __init__(self) -> None:
        self._backend: Backend | None = None
        self._listeners: dict[str, list[Listener]] = {}
        self._id = uuid.uuid4().hex
        self._ready: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._closing = False
        self._cursor = ""

    def on(self, name: str, listener: Listener) -> None:
        """Call `listener` for each event of a name, or of any for `"*"`."""
        if name not in NAMES:
            msg = f"there is no event {name!r}; there are {', '.join(sorted(NAMES))}"
            raise InvalidOption(msg)
        self._listeners.setdefault(name, []).append(listener)
        self._start()

    def off(self, name: str, listener: Listener) -> None:
        """Call it no more; one that was not there is no error."""
        with contextlib.suppress(KeyError, ValueError):
            self._listeners[name].remove(listener)

    def attach(self, backend: Backend) -> None:
        """Begin to listen to an opened backend, once there are listeners."""
        self._backend = backend
        self._closing = False
        self._start()

    @property
    def is_starting(self) -> bool:
        """Whether a listener is there that the store does not log for yet."""
        return self._ready is not None

    async def ready(self) -> None:
        """Return when events from now on will reach the listeners; raises what the store raises.

        A subscription that failed is tried again.
        """
        self._start()
        if self._ready is not None:
            await asyncio.shield(self._ready)

    async def close(self) -> None:
        """Deliver what is in the log, end the subscription."""
        task, self._task = self._task, None
        self._backend = self._ready = None
        if task is None:
            return
        self._closing = True
        self._wake.set()
        # A listener may close its own service: what is left of its page still reaches it.
        if task is not asyncio.current_task():
            await task

    def abandon(self) -> None:
        """End the subscription, whatever is in the log."""
        task, self._task = self._task, None
        self._backend = self._ready = None
        if task is not None and not task.done():
            task.cancel()

    def _start(self) -> None:
        if self._task is None and self._backend is not None and self._listeners:
            loop = asyncio.get_running_loop()
            self._ready = loop.create_future()
            follow = self._follow(self._backend, self._ready)
            self._task = loop.create_task(follow, name="jobyard events")

    async def _follow(self, backend: Backend, ready: asyncio.Future[None]) -> None:
        if not await self._subscribe(backend, ready):
            return
        try:
            while not self._closing:
                await self._listen(backend)
            # Up to now and no further: elsewhere they may happen faster than they are told here.
            await self._deliver(backend, until=(await backend.ping()).now)
            await backend.subscribe(self._id, ttl_ms=0)
        except BackendClosed:
            log.debug("the store was closed before its last events were read")
        except Exception:
            log.warning("the last events could not be read", exc_info=True)

    async def _listen(self, backend: Backend) -> None:
        """Pass events on until closing, or an error: then the log is read on after a pause."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        poll = POLL_PUSHED_SECONDS if Capability.PUSH in backend.capabilities else POLL_SECONDS
        try:
            async with backend.listen(self._notice, events=True):
                while not self._closing:
                    self._wake.clear()
                    await self._deliver(backend)
                    if loop.time() - renewed > RENEW_SECONDS:
                        await backend.subscribe(self._id, ttl_ms=SUBSCRIPTION_MS)
                        renewed = loop.time()
                    await self._sleep(poll)
        except BackendClosed:
            raise
        except Exception:
            log.warning("reading events failed; trying again", exc_info=True)
            if not self._closing:
                self._wake.clear()
                await self._sleep(PAUSE_AFTER_ERROR_SECONDS)

    async def _subscribe(self, backend: Backend, ready: asyncio.Future[None]) -> bool:
        """Tell the store to log; an error is for who waits until it does, and for the next."""
        try:
            self._cursor = await backend.subscribe(self._id, ttl_ms=SUBSCRIPTION_MS)
        except BaseException as error:
            if self._ready is ready:
                self._task = None
            if not isinstance(error, Exception):
                ready.cancel()
                raise
            ready.set_exception(error)
            ready.exception()  # it may be that nobody waits
            return False
        ready.set_result(None)
        if self._ready is ready:
            self._ready = None
        return True

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _notice(self, notice: Notice) -> None:
        del notice
        self._wake.set()

    async def _deliver(self, backend: Backend, *, until: int | None = None) -> None:
        """Tell what is in the log, also what comes meanwhile unless it is later than `until`."""
        while until is not None or not self._closing:
            before = self._cursor
            page = await backend.events(after=before, limit=PAGE)
            self._cursor = page.cursor
            if page.gap:
                log.warning("events were lost: this listener fell behind the store's log")
            for place, event in enumerate(page.events, 1):
                await self._tell(event, id_of(before, place))
            if len(page.events) < PAGE or (until is not None and page.events[-1].at > until):
                return

    async def _tell(self, stored: StoredEvent, event_id: str) -> None:
        for name in names_of(stored):
            listeners = [*self._listeners.get(name, ()), *self._listeners.get(EVERY, ())]
            if not listeners:
                continue
            try:
                event = read_event(stored, name, event_id)
            except PayloadDecodeError as error:
                log.error("an event of %r cannot be told: %s", name, error)  # noqa: TRY400
                continue
            for listener in listeners:
                await self._call(listener, event)

    async def _call(self, listener: Listener, event: Event) -> None:
        try:
            answer = listener(event)
            if inspect.isawaitable(answer):
                await answer
        except Exception:
            log.exception("a listener of %r failed", event.name, extra={"job_id": event.job_id})


def names_of(stored: StoredEvent) -> tuple[str, ...]:
    """Give the names that an event of the log is told under."""
    name = stored.kind.value
    return (name, FINISHED) if stored.kind in ENDS else (name,)


def id_of(cursor: str, place: int) -> str:
    """Name an event by the cursor before its page and its place there: the log has no other way."""
    return f"{cursor}~{place}"


def place_of(event_id: str) -> tuple[str, int]:
    """Tell the cursor and how many events after it an id stands for; raise `InvalidOption`."""
    cursor, _, place = event_id.rpartition("~")
    if not cursor or not place.isdecimal() or len(place) > LONGEST_PLACE:
        msg = f"since is the id of an event, not {event_id!r}"
        raise InvalidOption(msg)
    return cursor, int(place)


def read_event(stored: StoredEvent, name: str, event_id: str) -> Event:
    """Shape an event of the store's log for an app."""
    at = from_ms(stored.at)
    assert at is not None
    return Event(
        name=name,
        at=at,
        id=event_id,
        queue=stored.queue,
        job_id=stored.job_id,
        job_name=stored.name,
        worker_id=stored.worker,
        attempt=stored.attempt,
        duration=None if stored.ran_ms is None else stored.ran_ms / 1000,
        data=_data(stored),
    )


def _data(stored: StoredEvent) -> Any:
    if stored.data is None:
        return None
    match stored.kind:
        case EventKind.FAILED | EventKind.ATTEMPT_FAILED | EventKind.STALLED:
            return unpack_error(stored.data)
        case EventKind.GROUP_DELETED:
            return stored.data.decode()
        case _:
            return codec.decode(stored.data, what="the data of an event")
