"""Ids that sort by the time they were made, and the names that are allowed."""

from __future__ import annotations

import os
import random
import re
import threading
import time
import uuid
from functools import lru_cache
from typing import Final

from jobyard.errors import InvalidName

__all__ = ["check_job_id", "check_name", "is_job_id", "new_job_id", "new_lease_id"]

LONGEST_NAME: Final = 64
NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
JOB_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class JobIds:
    """A source of UUIDs of version 7, each greater than the one before (RFC 9562, method 2).

    The time in milliseconds comes first, so that new ids land at the end of an index; within a
    millisecond, or when the clock goes back, the random part counts on.
    """

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Forget the ids made so far: a forked child must not go on with its parent's."""
        self._last_ms = 0
        self._tail = 0
        self._lock = threading.Lock()

    def new(self) -> str:
        """Make an id: 32 lower-case hexadecimal digits."""
        with self._lock:
            now = time.time_ns() // 1_000_000
            if now > self._last_ms:
                self._last_ms = now
                # The top bit of the 74 random ones starts clear: room to count on within the
                # millisecond.
                self._tail = int.from_bytes(os.urandom(10)) >> 7
            else:
                # Uniqueness rests on the random start; the step makes neighbours hard to guess.
                self._tail += 1 + random.getrandbits(32)
            tail = self._tail
            ms = self._last_ms
        high = (ms << 16) | 0x7000 | (tail >> 62)
        low = (0b10 << 62) | (tail & 0x3FFF_FFFF_FFFF_FFFF)
        return (high << 64 | low).to_bytes(16).hex()


_ids = JobIds()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.start_anew)

new_job_id = _ids.new


def new_lease_id() -> str:
    """Make the id of one claim call."""
    return uuid.uuid4().hex


def check_name(name: object, what: str) -> str:
    """Answer a name of a queue, job or channel, or raise `InvalidName` saying what is allowed."""
    if isinstance(name, str) and len(name) <= LONGEST_NAME and _is_name(name):
        return name
    msg = f"the {what} is 1 to 64 of the characters A-Z a-z 0-9 _ . - , not {_shown(name)}"
    raise InvalidName(msg)


@lru_cache(maxsize=1024)
def _is_name(name: str) -> bool:
    """Tell whether a name is allowed; an app uses few, again and again."""
    return NAME.fullmatch(name) is not None


def check_job_id(job_id: object) -> str:
    """Answer a custom job id, or raise `InvalidName` saying what is allowed."""
    if isinstance(job_id, str) and is_job_id(job_id):
        return job_id
    msg = f"a job id is 1 to 128 of the characters A-Z a-z 0-9 _ . : - , not {_shown(job_id)}"
    raise InvalidName(msg)


def is_job_id(job_id: object) -> bool:
    """Tell whether a job may have such an id; a store need not be asked for any other."""
    return isinstance(job_id, str) and JOB_ID.fullmatch(job_id) is not None


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
