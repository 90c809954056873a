"""The tasks that belong to a running worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final

from jobyard.worker.bell import Bell

__all__ = ["Crew", "HasEnded"]

SWALLOWED_SECONDS: Final = 10.0
"""After how long a cancellation that had no effect is taken for lost."""

HasEnded = Callable[[], bool]


class Crew:
    """Tasks that are dismissed together; one that ends by an error rings the bell."""

    def __init__(self, bell: Bell) -> None:
        """Begin without tasks."""
        self._bell = bell
        self._tasks: set[asyncio.Task[None]] = set()
        self.error: BaseException | None = None

    def start(self, coroutine: Coroutine[object, object, None], name: str) -> HasEnded:
        """Start a task; the answer tells whether it has ended."""
        task = asyncio.get_running_loop().create_task(coroutine, name=f"jobyard {name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task.done

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            error = task.exception()
            self.error = self.error or error
        self._bell.ring()

    async def dismiss(self) -> None:
        """Cancel the tasks and wait for their ends."""
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            # Again, if need be: a driver may wait by asyncio.wait_for, which before Python 3.12
            # swallows a cancellation that comes together with what it waits for.
            await asyncio.wait(tasks, timeout=SWALLOWED_SECONDS)
