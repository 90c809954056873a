"""Cancellations that the driver swallows.

It waits by `asyncio.wait_for`, which before Python 3.12 takes no notice of a cancellation that
comes together with what it waits for: whoever cancelled would wait for ever for the task to end.
"""

from __future__ import annotations

import asyncio

__all__ = ["cancellations", "heed"]


def cancellations() -> int:
    """Tell how often the running task was asked to end and has not undone it."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def heed(before: int) -> None:
    """Raise `CancelledError` if there was another cancellation since there were so many."""
    if cancellations() > before:
        raise asyncio.CancelledError
