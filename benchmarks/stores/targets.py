"""What the figures of a store must reach."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The bounds that depend on the store: ratios, and milliseconds on an idle machine."""

    add_one: float
    """W1: add_job against the driver's own add of one row, at least."""

    drain: float
    """W4: the best worker against the raw loop, at least."""

    start_p99_ms: float
    """W5: from the call of an add to the start in another process, 99th percentile, at most."""
