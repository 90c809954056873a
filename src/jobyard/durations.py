"""Durations and instants at the public face, and their integer milliseconds below the seam."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final

from jobyard.contract import MAX_INSTANT
from jobyard.errors import InvalidOption

__all__ = ["Duration", "from_ms", "instant_ms", "to_ms"]

Duration = float | timedelta
"""Seconds, or a `timedelta`."""

LONGEST_MS: Final = 50 * 366 * 24 * 3_600_000
"""Fifty years: a longer duration is a mistake of units, and the year 2109 would come in sight."""

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(value: object, option: str, *, least: int = 0) -> int:
    """Turn a duration into milliseconds, rounded; raise `InvalidOption` for what is none."""
    match value:
        case bool():
            seconds = math.nan
        case int() | float():
            seconds = float(value) if abs(value) < LONGEST_MS else math.inf
        case timedelta():
            seconds = value.total_seconds()
        case _:
            seconds = math.nan
    if not math.isfinite(seconds) or not least <= round(seconds * 1000) <= LONGEST_MS:
        what = "0 or more" if least == 0 else f"at least {least / 1000:g}"
        msg = (
            f"{option} is a number of seconds, {what} and at most 50 years, or a timedelta, "
            f"not {value!r}{_hint(value)}"
        )
        raise InvalidOption(msg)
    return round(seconds * 1000)


def _hint(value: object) -> str:
    """Ask for the unit of a number of seconds that is far too large."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    is_number = isinstance(value, int) or math.isfinite(value)
    return ": are these milliseconds?" if is_number and value * 1000 > LONGEST_MS else ""


def instant_ms(value: object, option: str) -> int:
    """Turn an aware datetime into epoch milliseconds; raise `InvalidOption` for a naive one."""
    if not isinstance(value, datetime):
        msg = f"{option} is a datetime with a time zone, not {value!r}"
        raise InvalidOption(msg)
    if value.utcoffset() is None:
        msg = (
            f"{option} has no time zone: say which instant you mean, as in "
            "datetime.now(timezone.utc) + timedelta(hours=1)"
        )
        raise InvalidOption(msg)
    ms = (value - EARLIEST) // timedelta(milliseconds=1)
    if ms > MAX_INSTANT:
        msg = f"{option} is at most in the year 2109, not {value.isoformat()}"
        raise InvalidOption(msg)
    return ms


def from_ms(ms: int | None) -> datetime | None:
    """Turn epoch milliseconds into an aware UTC datetime, `None` staying `None`."""
    return None if ms is None else EARLIEST + timedelta(milliseconds=ms)
