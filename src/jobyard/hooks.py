"""Hooks: what an app has done around its jobs, and before the first and after the last of them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from jobyard.errors import ConfigError
from jobyard.handle import Job

__all__ = ["AddHook", "Draft", "Hooks", "LifeHook", "RunHook", "surround"]

log = logging.getLogger("jobyard.worker")

T = TypeVar("T")


@dataclass(slots=True)
class Draft:
    """A job that is about to be added, as the app said it: a hook may change it."""

    queue: str
    name: str | None
    data: Any
    options: dict[str, Any]


LifeHook = Callable[[], object]
"""Called at the start or the end of an app's workers; a coroutine function is awaited."""
RunHook = Callable[[Job, Callable[[Job], Awaitable[Any]]], Awaitable[Any]]
"""Called with the job and what runs it, and returns the result."""
AddHook = Callable[[list[Draft], Callable[[list[Draft]], Awaitable[list[Job]]]], Awaitable[Any]]
"""Called with the jobs of one add and what stores them, and returns those."""


class Hooks:
    """The hooks of a service, and the resources that its workers share.

    Those of the start are called before the first worker begins, in the order registered; those of
    the end after the last one has ended, in the other order.
    """

    def __init__(self) -> None:
        self.startup: list[LifeHook] = []
        self.shutdown: list[LifeHook] = []
        self.around_add: list[AddHook] = []
        self.resources: dict[str, Any] = {}
        self._workers = 0
        self._started = 0

    async def enter(self) -> None:
        """Begin a worker; what a hook of the start raises keeps it from beginning."""
        self._workers += 1
        try:
            while self._started < len(self.startup):
                hook = self.startup[self._started]
                self._started += 1
                await _call(hook)
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """End a worker. A hook of the end that raises hinders no other; it is told in the log."""
        self._workers -= 1
        if self._workers:
            return
        self._started = 0
        for hook in reversed(self.shutdown):
            try:
                await _call(hook)
            except Exception:
                name = getattr(hook, "__qualname__", repr(hook))
                log.exception("the shutdown hook %s failed", name)


async def _call(hook: LifeHook) -> None:
    done = hook()
    if inspect.isawaitable(done):
        await done


def surround(
    hooks: list[Callable[[T, Callable[[T], Any]], Any]], call: Callable[[T], Any]
) -> Callable[[T], Any]:
    """Put hooks around a call, the first one outermost."""
    for hook in reversed(hooks):
        call = _layer(hook, call)
    return call


def _layer(
    hook: Callable[[T, Callable[[T], Any]], Any], call: Callable[[T], Any]
) -> Callable[[T], Any]:
    async def layer(subject: T) -> Any:
        return await hook(subject, call)

    return layer


def check_hook(hook: object, takes: int) -> None:
    """Refuse what cannot be called with so many arguments, where it is written."""
    if not callable(hook):
        msg = f"a hook is a function, not {hook!r}"
        raise ConfigError(msg)
    if takes and not inspect.iscoroutinefunction(hook):
        msg = f"a hook around something is a coroutine function; {hook!r} is none"
        raise ConfigError(msg)
    try:
        inspect.signature(hook).bind(*[None] * takes)
    except TypeError:
        what = "no argument" if not takes else f"{takes} arguments"
        msg = f"this hook is called with {what}, which {hook!r} does not take"
        raise ConfigError(msg) from None
