"""Waking the workers of other processes: LISTEN and NOTIFY, as hints.

A process tells of new work at most every few milliseconds, whatever it adds: each NOTIFY takes a
lock of the whole database when it commits. It is sent after the work is stored, in a statement of
its own, so that no step waits for that lock.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import psycopg
from psycopg import AsyncConnection, sql

from jobyard.errors import JobyardError
from jobyard.events import Notice, Topic
from jobyard_postgres.cancelling import cancellations, heed

log = logging.getLogger(__name__)

GAP: Final = 0.02
"""Seconds between two notices of one process."""

MAX_NAMES: Final = 64
"""With more queues in one notice it names none, which means any (8,000 bytes are the limit)."""

PAUSES: Final = (0.1, 0.5, 2.0, 5.0)
"""Seconds to wait before listening again, the longer the more often it failed."""


class Ring(msgspec.Struct, frozen=True):
    """What a notice carries: queues with work (none means any), and whether there are events."""

    work: tuple[str, ...] | None = None
    events: bool = False


encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(Ring).decode


class Listener:
    """Somebody to wake."""

    def __init__(
        self, wake: Callable[[Notice], None], queues: Sequence[str], *, events: bool
    ) -> None:
        self._wake = wake
        self._queues = frozenset(queues)
        self._events = events

    def hear(self, ring: Ring) -> None:
        """Wake for what it listens to."""
        if ring.work is not None:
            for queue in self._queues if not ring.work else self._queues.intersection(ring.work):
                self._wake(Notice(Topic.WORK, queue))
        if ring.events and self._events:
            self._wake(Notice(Topic.EVENTS))


class Bell:
    """The channel of a namespace."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[AsyncConnection | None]],
        notify: Callable[[str, str], Awaitable[None]],
        yard: str,
    ) -> None:
        self._connect = connect
        self._notify = notify
        schema, _, namespace = yard.partition(".")
        self.channel = f"jobyard_{namespace}_{zlib.crc32(schema.encode()):08x}"
        self._listeners: set[Listener] = set()
        self._connection: AsyncConnection | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._queues: set[str] = set()
        self._events = False
        self._sending: asyncio.Task[None] | None = None

    # -- telling

    def ring(self, queues: Iterable[str] = (), *, events: bool = False) -> None:
        """Tell everybody, soon, that there is work in some queues, or that there are events."""
        self._queues.update(queues)
        self._events |= events
        if (self._queues or self._events) and self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        try:
            while self._queues or self._events:
                notice = self.notice(self._queues, events=self._events)
                self._queues.clear()
                self._events = False
                try:
                    await self._notify(*notice)
                except JobyardError as error:
                    # Only a hint is lost: workers look by themselves.
                    log.info("workers were not told of new jobs: %s", error)
                await asyncio.sleep(GAP)
        finally:
            self._sending = None

    def notice(self, queues: Collection[str], *, events: bool) -> tuple[str, str]:
        """Write a notice: the channel that it goes to, and its text."""
        names = tuple(queues) if len(queues) <= MAX_NAMES else ()
        return self.channel, encode(Ring(names if queues else None, events)).decode()

    async def close(self) -> None:
        """Tell what is not told yet, and stop listening."""
        sending = self._sending
        if sending is not None:
            await sending
        await self._stop()

    # -- hearing

    @asynccontextmanager
    async def listen(
        self, wake: Callable[[Notice], None], queues: Sequence[str], *, events: bool
    ) -> AsyncIterator[None]:
        """Call `wake` for what is told while the block runs."""
        listener = Listener(wake, queues, events=events)
        async with self._starting:
            if self._hearing is None:
                self._connection = await self._begin()
                if self._connection is not None:
                    task = self._hear(self._connection)
                    self._hearing = asyncio.get_running_loop().create_task(task)
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                await self._stop()

    async def _begin(self) -> AsyncConnection | None:
        before = cancellations()
        connection = await self._connect()
        if connection is not None:
            try:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self.channel)))
                heed(before)
            except BaseException:  # whoever listens may be cancelled in the middle
                await connection.close()
                raise
        return connection

    async def _hear(self, connection: AsyncConnection | None) -> None:
        failures = 0
        while True:
            try:
                if connection is None:
                    connection = self._connection = await self._begin()
                    assert connection is not None
                    # Whatever was told meanwhile was missed.
                    self._tell(Ring((), events=True))
                failures = 0
                async for notice in connection.notifies():
                    self._tell(read_ring(notice.payload))
            except (psycopg.Error, JobyardError) as error:
                log.info("listening for new jobs failed, looking goes on: %s", error)
            if connection is not None:
                await connection.close()
            connection = None
            await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
            failures += 1

    def _tell(self, ring: Ring) -> None:
        for listener in tuple(self._listeners):
            listener.hear(ring)

    async def _stop(self) -> None:
        async with self._starting:
            task, self._hearing = self._hearing, None
            connection, self._connection = self._connection, None
            while task is not None and not task.done():
                # More than once: a cancellation that meets a notice is lost (see cancelling.py).
                task.cancel()
                await asyncio.wait({task}, timeout=1.0)
            if connection is not None:
                await connection.close()


def read_ring(payload: str) -> Ring:
    """Read a notice; one that cannot be read may mean anything."""
    try:
        return decode(payload)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return Ring((), events=True)  # of a later version: it may be anything
