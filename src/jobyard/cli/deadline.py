"""The last resort of a worker process that was told to end, and does not."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time

from jobyard.cli.failures import ExitCode

__all__ = ["BEYOND_SECONDS", "Deadline"]

BEYOND_SECONDS = 30.0
"""How much longer than running jobs may take a process may take to end, once it was told to.

The store is tried for some of it; the rest is for handlers' threads, `atexit` and the like.
"""


class Deadline:
    """Ends this process by force when it has not ended by itself in time after a signal.

    Only a handler that never gives the event loop back, a thread that never ends or a hook that
    hangs at exit come to that. It is a thread of its own, which none of them can hold up.
    """

    def __init__(self, seconds: float) -> None:
        """Wait `seconds`, and `BEYOND_SECONDS` more, once begun."""
        self._seconds = seconds + BEYOND_SECONDS
        self._read, self._write = os.pipe()
        threading.Thread(target=self._watch, name="jobyard deadline", daemon=True).start()

    def begin(self) -> None:
        """Begin to wait; may be called from a handler of signals, also again."""
        os.write(self._write, b"!")

    def _watch(self) -> None:
        os.read(self._read, 1)
        # Nobody closes the pipe: the process ends meanwhile, or is ended here.
        time.sleep(self._seconds)
        print(
            f"jobyard worker: has not ended {self._seconds:g} s after it was told to: ends by "
            "force; its jobs run again when their leases have expired. It was doing this:",
            file=sys.stderr,
            flush=True,
        )
        faulthandler.dump_traceback(all_threads=True)
        os._exit(ExitCode.FAILED)
