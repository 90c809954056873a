"""What happened in a queue, counted by the minute."""

from __future__ import annotations

from typing import Final

import msgspec

MINUTE_MS: Final = 60_000


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in a queue within one minute, or ever.

    `at` is the start of the minute, 0 for ever. `retried` counts failed runs that were followed by
    another attempt, `failed` jobs that ended failed, stalled or dead, `crashed` leases reaped,
    `removed` jobs that somebody removed (not retention, not keep rules).
    `ran_ms` sums the run times of completed and failed runs; `peak` is the most jobs of the queue
    that were active at once after any claim.
    """

    queue: str
    at: int = 0
    added: int = 0
    started: int = 0
    completed: int = 0
    failed: int = 0
    retried: int = 0
    cancelled: int = 0
    crashed: int = 0
    removed: int = 0
    ran_ms: int = 0
    peak: int = 0


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """The totals of a queue since its first job, and its minutes, oldest first."""

    total: Bucket
    minutes: tuple[Bucket, ...] = ()
