"""A schedule below the seam: when to fire next, and bytes that only the core reads."""

from __future__ import annotations

import msgspec


class ScheduleRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A stored schedule; `next_at` `None` means that it will not fire again.

    `definition` is opaque to the store. `fired` counts the ticks fired, `last_at` is the tick fired
    last.
    """

    key: str
    definition: bytes
    next_at: int | None
    paused: bool = False
    fired: int = 0
    last_at: int | None = None
