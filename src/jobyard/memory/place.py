"""Places: which handles of a process share a yard, and who of them listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakValueDictionary

from jobyard.clock import SystemClock
from jobyard.events import Notice, Topic
from jobyard.memory.engine import Engine

__all__ = ["Listener", "Place", "Store", "store_named"]


class Listener:
    """Somebody to wake in an event loop when something that he waits for may have come."""

    def __init__(
        self, wake: Callable[[Notice], None], *, queues: frozenset[str], events: bool
    ) -> None:
        self._wake = wake
        self._queues = queues
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._pending: set[Notice] = set()

    def hear(self, notice: Notice) -> None:
        """Wake soon, once for any number of equal notices until then."""
        if not self._cares(notice) or notice in self._pending or self._loop.is_closed():
            return
        self._pending.add(notice)
        self._loop.call_soon_threadsafe(self._deliver, notice)

    def leave(self) -> None:
        """Wake no more, whatever is on its way."""
        self._queues = frozenset()
        self._events = False

    def _cares(self, notice: Notice) -> bool:
        match notice.topic:
            case Topic.WORK:
                return notice.queue in self._queues
            case Topic.EVENTS:
                return self._events

    def _deliver(self, notice: Notice) -> None:
        self._pending.discard(notice)
        if self._cares(notice):
            self._wake(notice)


class Place:
    """One namespace: the engine that works on its yard, and its listeners."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.listeners: set[Listener] = set()

    def deliver(self) -> None:
        """Tell the listeners what has happened since the last time."""
        for notice in self.engine.notices():
            for listener in tuple(self.listeners):
                listener.hear(notice)


class Store:
    """What a `memory://` URL leads to: places by namespace, and one clock for all."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.places: dict[str, Place] = {}

    def place(self, namespace: str) -> Place:
        """Give the place of a namespace, which is new if nobody asked for it before."""
        return self.places.setdefault(namespace, Place())


# Handles that know nothing of each other meet by the name in their URL, so the names have to be
# the process's. A store is held by its open handles and by nothing else.
_named: WeakValueDictionary[str, Store] = WeakValueDictionary()


def store_named(name: str | None) -> Store:
    """Give the store that all open handles of a name share, or a new one without a name."""
    if name is None:
        return Store()
    found = _named.get(name)
    if found is None:
        found = _named[name] = Store()
    return found
