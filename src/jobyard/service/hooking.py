"""Hooks of a service: around adds and runs, at the start and the end of its workers."""

from __future__ import annotations

from typing import TypeVar

from jobyard.hooks import AddHook, LifeHook, check_hook
from jobyard.service.acting import Acting

__all__ = ["Hooking"]

Life = TypeVar("Life", bound=LifeHook)
AroundAdd = TypeVar("AroundAdd", bound=AddHook)


class Hooking(Acting):
    """The part of a service that calls an app's hooks."""

    def on_startup(self, hook: Life) -> Life:
        """Call a function, or await a coroutine function, before the first worker begins.

        It gets ready what handlers share, such as a pool of connections, in `service.resources`.
        What it raises keeps the worker from beginning.
        """
        check_hook(hook, 0)
        self.hooks.startup.append(hook)
        return hook

    def on_shutdown(self, hook: Life) -> Life:
        """Call a function, or await a coroutine function, when the last worker has ended."""
        check_hook(hook, 0)
        self.hooks.shutdown.append(hook)
        return hook

    def around_add(self, hook: AroundAdd) -> AroundAdd:
        """Have each add go through a coroutine function, `hook(jobs, add)`.

        `jobs` are drafts, which it may change, and `await add(jobs)` stores them and gives the
        jobs, which it returns. The first hook registered is the outermost. Jobs that a schedule
        adds go through none.
        """
        check_hook(hook, 2)
        self.hooks.around_add.append(hook)
        return hook
