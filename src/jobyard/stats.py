"""What a queue holds and how it is doing, as an app sees it."""

from __future__ import annotations

import msgspec

from jobyard.metrics import MINUTE_MS, Bucket, Metrics
from jobyard.query import QueueInfo

__all__ = ["QueueMetrics", "QueueStats"]


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs of a queue are in each state.

    `paused` is how many of the waiting ones a pause holds back: they are counted in `waiting` too.
    `is_paused` tells whether the queue is paused, `oldest_wait` for how many seconds the longest
    waiting job has been due.
    """

    waiting: int = 0
    delayed: int = 0
    blocked: int = 0
    active: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    stalled: int = 0
    dead: int = 0
    paused: int = 0
    is_paused: bool = False
    oldest_wait: float | None = None

    @property
    def total(self) -> int:
        """The number of jobs there are."""
        return (
            self.waiting
            + self.delayed
            + self.blocked
            + self.active
            + self.completed
            + self.failed
            + self.cancelled
            + self.stalled
            + self.dead
        )


def stats_of(info: QueueInfo, *, now: int) -> QueueStats:
    """Shape a store's counts for an app."""
    oldest = None if info.oldest_due is None else max(0, now - info.oldest_due) / 1000
    return QueueStats(
        **msgspec.structs.asdict(info.counts),
        paused=info.counts.waiting if info.paused else 0,
        is_paused=info.paused,
        oldest_wait=oldest,
    )


class QueueMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in a queue since it was made, over all its workers, also those gone.

    `processed` is completed + failed; `success_rate` is the share of completed among them, `None`
    before the first. `average_seconds` is the mean run time, of failed runs too. `throughput` is
    jobs ended a second over `window` seconds.
    """

    added: int
    started: int
    completed: int
    failed: int
    retried: int
    cancelled: int
    crashed: int
    removed: int
    processed: int
    success_rate: float | None
    average_seconds: float | None
    throughput: float
    window: float
    current_concurrency: int
    peak_concurrency: int
    minutes: tuple[Bucket, ...] = ()


def metrics_of(metrics: Metrics, *, active: int, since: int, now: int) -> QueueMetrics:
    """Shape a store's counts for an app; the window is from `since` until `now`."""
    total = metrics.total
    processed = total.completed + total.failed
    runs = processed + total.retried
    recent = sum(b.completed + b.failed for b in metrics.minutes if b.at >= since)
    window = max(1, now - since) / 1000
    return QueueMetrics(
        added=total.added,
        started=total.started,
        completed=total.completed,
        failed=total.failed,
        retried=total.retried,
        cancelled=total.cancelled,
        crashed=total.crashed,
        removed=total.removed,
        processed=processed,
        success_rate=total.completed / processed if processed else None,
        average_seconds=total.ran_ms / runs / 1000 if runs else None,
        throughput=recent / window,
        window=window,
        current_concurrency=active,
        peak_concurrency=total.peak,
        minutes=metrics.minutes,
    )


def window_start(now: int, window_ms: int) -> int:
    """Find the start of the first whole minute within a window that ends now."""
    return (now - window_ms) // MINUTE_MS * MINUTE_MS
