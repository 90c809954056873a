"""Limits of a queue, or of the jobs of one name in it: how many run at once, and how many start.

They are set by `Backend.control` and hold for every worker. What has no limit pays nothing for
them: a store looks at the few entries that a queue has, never at its jobs.
"""

from __future__ import annotations

import msgspec

__all__ = ["HoldBack", "Limit", "LimitInfo", "Rate"]


class Rate(msgspec.Struct, frozen=True):
    """At most `count` starts in any `per_ms`."""

    count: int
    per_ms: int

    def __post_init__(self) -> None:
        """Refuse a rate that lets nothing start, or anything."""
        if self.count < 1 or self.per_ms < 1:
            msg = f"a rate is 1 start or more in 1 ms or more, not {self.count} in {self.per_ms} ms"
            raise ValueError(msg)


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """Let at most `concurrency` jobs be active at once, and start only as `rate` allows.

    `name` says of which jobs of the queue: of one name (empty: the unnamed), or of all with `None`.
    It replaces the limit that these had before; with neither of the two there is none any more.
    """

    name: str | None = None
    concurrency: int | None = None
    rate: Rate | None = None

    def __post_init__(self) -> None:
        """Refuse a limit under which nothing could run: that is a pause."""
        if self.concurrency is not None and self.concurrency < 1:
            msg = f"a limit lets 1 job or more run at once, not {self.concurrency}"
            raise ValueError(msg)


class HoldBack(msgspec.Struct, frozen=True, kw_only=True):
    """Let no claim take a job of the queue, or of one name in it, for `ms` from now; 0 ends it."""

    ms: int
    name: str | None = None

    def __post_init__(self) -> None:
        """Refuse a time before now."""
        if self.ms < 0:
            msg = f"jobs are held back for 0 ms or longer, not {self.ms}"
            raise ValueError(msg)


class LimitInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What limits a queue (`name` is `None`) or a name in it; `held_until` may lie in the past."""

    name: str | None = None
    concurrency: int | None = None
    rate: Rate | None = None
    held_until: int | None = None
