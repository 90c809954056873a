"""The bell: hints from other handles, over a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from redis import exceptions as driver
from redis.asyncio import Redis

from jobyard.events import Notice, Topic
from jobyard_redis.link import Link

PATIENCE: Final = 5.0
"""Seconds without a word after which the connection is asked whether it lives."""

PAUSE: Final = (0.05, 1.0)
"""Seconds before the first and the longest pause before a further try to connect."""

SWALLOWED: Final = 0.1
"""Seconds after which a cancellation that had no effect is taken for lost."""


class Listener:
    """Somebody who wants to be woken."""

    def __init__(
        self, wake: Callable[[Notice], None], queues: Sequence[str], *, events: bool
    ) -> None:
        self.wake = wake
        self.queues = frozenset(queues)
        self.events = events

    def hear(self, queue: str) -> None:
        """Wake for a queue, or for events when there is none."""
        if queue in self.queues:
            self.wake(Notice(Topic.WORK, queue))
        elif not queue and self.events:
            self.wake(Notice(Topic.EVENTS))

    def hear_all(self) -> None:
        """Wake for all, since hints may have been missed."""
        for queue in self.queues:
            self.wake(Notice(Topic.WORK, queue))
        if self.events:
            self.wake(Notice(Topic.EVENTS))


class Bell:
    """Hears the channel of a namespace while anybody listens, and comes back if it is cut off."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._channel = f"{link.yard}:wake"
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()

    @contextlib.asynccontextmanager
    async def listen(
        self, wake: Callable[[Notice], None], queues: Sequence[str], *, events: bool
    ) -> AsyncIterator[None]:
        """Wake somebody while entered; entering waits for the connection, but not for long."""
        listener = Listener(wake, queues, events=events)
        self._listeners.add(listener)
        if self._task is None:
            self._heard.clear()
            self._task = asyncio.create_task(self._attend())
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._heard.wait()
            yield
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                await self.close()

    async def close(self) -> None:
        """Hear nothing any more."""
        self._listeners.clear()
        task, self._task = self._task, None
        while task is not None and not task.done():
            # On Python 3.11 a driver that waits by `asyncio.wait_for` may swallow a cancellation.
            task.cancel()
            await asyncio.wait([task], timeout=SWALLOWED)

    async def _attend(self) -> None:
        pause, longest = PAUSE
        client = self._link.connect()
        try:
            while True:
                with contextlib.suppress(driver.RedisError, OSError):
                    await self._hear(client)
                self._heard.set()  # nobody waits for a server that is away
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)
        finally:
            await client.aclose()

    async def _hear(self, client: Redis) -> None:
        """Hear one connection until it breaks."""
        async with client.pubsub(ignore_subscribe_messages=False) as pubsub:
            await pubsub.subscribe(self._channel)
            while True:
                message = await pubsub.get_message(timeout=PATIENCE)
                if message is None:
                    await pubsub.ping()
                elif message["type"] == "subscribe":
                    self._heard.set()
                    for listener in tuple(self._listeners):
                        listener.hear_all()
                elif message["type"] == "message":
                    queue = message["data"].decode()
                    for listener in tuple(self._listeners):
                        listener.hear(queue)
