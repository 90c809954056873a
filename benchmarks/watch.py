"""What a process of the benchmarks reads of itself: time, processor time and memory."""

from __future__ import annotations

import resource
import time
from pathlib import Path

from benchmarks.stage import Facts


class Watch:
    """Tells how long something took, and how much of it this process computed."""

    def __init__(self) -> None:
        self._cpu = time.process_time()
        self._began = time.perf_counter()

    def facts(self) -> Facts:
        """Stop."""
        seconds = time.perf_counter() - self._began
        return {"seconds": seconds, "cpu": time.process_time() - self._cpu}


def peak_bytes() -> int:
    """Return the most memory that this process has had.

    What `getrusage` says is at least what the parent had when it started this process.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def now_bytes() -> int:
    """Return the memory that this process has now."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024
