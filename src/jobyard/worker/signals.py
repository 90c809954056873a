"""Stopping workers by SIGTERM and SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

from jobyard.worker.worker import Worker

__all__ = ["stop_on_signals"]

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def stop_on_signals(*workers: Worker, told: Callable[[], object] | None = None) -> Iterator[None]:
    """Stop the workers gracefully at the first SIGTERM or SIGINT, by force at the second.

    `told` is called for each signal at once, though the event loop may be held up. What handled
    the signals before is put back afterwards. Outside the main thread, where Python allows no
    handlers, it changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for worker in workers:
            worker.begin_stop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        # Between any two instructions of any code: only the loop may touch a worker.
        if told is not None:
            told()
        loop.call_soon_threadsafe(stop)

    before: dict[int, Any] = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
