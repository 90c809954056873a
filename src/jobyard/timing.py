"""When a schedule fires: on a grid of elapsed time, or by cron in a time zone.

A zone's clock jumps twice a year. The rule is that of Vixie cron, as its manual page tells it:

- A cron expression with a `*` in its minute or hour field goes by elapsed time: a local time that
  the clock shows twice fires twice, one that it leaves out does not fire.
- Any other names times of the day, each of which fires once: one that the clock shows twice at the
  first showing, one that it leaves out at the first instant after the gap.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from jobyard.contract import MAX_INSTANT
from jobyard.durations import Duration, to_ms
from jobyard.errors import InvalidOption

__all__ = ["Cron", "Every", "Timing"]

EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - local times have no zone while counted with
DAY_MS: Final = 86_400_000
FIELDS: Final = (5, 6)


class Every(msgspec.Struct, frozen=True, kw_only=True, tag="every"):
    """Ticks `interval_ms` apart, on the grid that `anchor_ms` is a point of: they never drift.

    >>> Every.of(60).after(120_001)
    180000
    """

    interval_ms: int
    anchor_ms: int = 0

    @classmethod
    def of(cls, interval: Duration, *, anchor_ms: int = 0) -> Every:
        """Tick once in every `interval` seconds; raise `InvalidOption` for what is no duration."""
        return cls(interval_ms=to_ms(interval, "every", least=1), anchor_ms=anchor_ms)

    def after(self, instant: int) -> int | None:
        """Tell the first tick after an instant; `None` beyond what stores can order."""
        steps = (instant - self.anchor_ms) // self.interval_ms + 1
        return _within_reach(self.anchor_ms + steps * self.interval_ms)


class Cron(msgspec.Struct, frozen=True, kw_only=True, tag="cron"):
    """Ticks at the local times of `zone` that a cron expression names.

    >>> Cron.of("0 2 * * *", "Europe/Berlin").after(1_774_742_400_000)  # 29 March 2026, 01:00
    1774746000000
    """

    expression: str
    zone: str = "UTC"

    @classmethod
    def of(cls, expression: str, zone: str = "UTC") -> Cron:
        """Read an expression of five fields, of six with the seconds first, or `@daily` and such.

        Raises `InvalidOption` for an expression or zone that cannot be understood, and for times
        that never come.
        """
        timing = cls(expression=_normal(expression), zone=zone)
        _zone(zone)
        if timing.after(0) is None:
            msg = f"the cron expression {expression!r} names no time that ever comes"
            raise InvalidOption(msg)
        return timing

    def after(self, instant: int) -> int | None:
        """Tell the first tick after an instant; `None` if none comes any more."""
        zone = _zone(self.zone)
        goes_on_elapsed_time = any(each.startswith("*") for each in _times(self.expression))
        find = _after_by_elapsed_time if goes_on_elapsed_time else _after_by_the_clock
        due = find(self.expression, zone, instant)
        return None if due is None else _within_reach(due)


Timing = Every | Cron


def _within_reach(instant: int) -> int | None:
    return instant if instant <= MAX_INSTANT else None


# -- cron on a clock that jumps -------------------------------------------------------------------


def _after_by_elapsed_time(expression: str, zone: ZoneInfo, instant: int) -> int | None:
    """Look on within each stretch of time in which the clock does not jump."""
    since, offset = instant, _offset(zone, instant)
    while (local := _next_local(expression, instant + offset)) is not None:
        due = local - offset
        jump = _first_jump(zone, since, due)
        if jump is None:
            return due
        since, offset = jump, _offset(zone, jump)
        instant = jump - 1  # the jump itself may be a tick
    return None


def _after_by_the_clock(expression: str, zone: ZoneInfo, instant: int) -> int | None:
    """Look on through the local times, each of which stands for one instant."""
    local: int | None = instant + _offset(zone, instant)
    while local is not None and (local := _next_local(expression, local)) is not None:
        due = _instant_of(zone, local)
        if due > instant:
            return due
    return None


def _instant_of(zone: ZoneInfo, local: int) -> int:
    """Tell the first instant at which the clock shows a local time, or has leapt over it."""
    shown = EPOCH + timedelta(milliseconds=local)
    first = local - _ms(shown.replace(tzinfo=zone, fold=0).utcoffset())
    if first + _offset(zone, first) == local:
        return first
    before_the_gap = local - _ms(shown.replace(tzinfo=zone, fold=1).utcoffset())
    jump = _first_jump(zone, before_the_gap, first)
    return first if jump is None else jump


def _first_jump(zone: ZoneInfo, begin: int, end: int) -> int | None:
    """Tell the first instant in `(begin, end]` from which the clock shows another offset."""
    offset = _offset(zone, begin)
    low, high = begin, min(begin + DAY_MS, end)
    while _offset(zone, high) == offset:
        if high >= end:
            return None
        low, high = high, min(high + DAY_MS, end)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, middle) == offset:
            low = middle
        else:
            high = middle
    return high


def _offset(zone: ZoneInfo, instant: int) -> int:
    at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=instant)
    return _ms(at.astimezone(zone).utcoffset())


def _ms(delta: timedelta | None) -> int:
    assert delta is not None
    return delta // timedelta(milliseconds=1)


# -- expressions ----------------------------------------------------------------------------------


def _next_local(expression: str, local: int) -> int | None:
    """Tell the first local time after another that an expression names, both in milliseconds.

    The clock has no jumps here: croniter is given times without a zone.
    """
    from croniter import CroniterBadDateError, croniter  # noqa: PLC0415 - few apps need it

    after = EPOCH + timedelta(seconds=local // 1000)
    try:
        found = croniter(expression, after, second_at_beginning=True).get_next(datetime)
    except (CroniterBadDateError, OverflowError):
        return None
    return (found - EPOCH) // timedelta(milliseconds=1)


def _normal(expression: object) -> str:
    """Check an expression and write it with single spaces."""
    from croniter import croniter  # noqa: PLC0415 - few apps need it

    if not isinstance(expression, str):
        msg = f"cron is an expression such as '0 2 * * *', not {expression!r}"
        raise InvalidOption(msg)
    fields = expression.split()
    is_alias = len(fields) == 1 and fields[0].startswith("@")
    # Letters that croniter draws lots for would let each process see other ticks.
    is_random = any(field[:1] in {"R", "r", "H", "h"} for field in fields)
    if (
        not (is_alias or len(fields) in FIELDS)
        or is_random
        or not croniter.is_valid(expression, second_at_beginning=True)
    ):
        msg = (
            f"the cron expression {expression!r} cannot be understood: it has five fields (minute "
            "hour day month weekday), six with the seconds first, or is @hourly, @daily, @weekly, "
            "@monthly or @yearly"
        )
        raise InvalidOption(msg)
    return " ".join(fields)


@lru_cache(maxsize=256)
def _times(expression: str) -> tuple[str, ...]:
    """Give the fields of minute and hour."""
    fields = expression.split()
    if len(fields) == 1:
        return ("*",) if fields[0].lower() == "@hourly" else ()
    return tuple(fields[-5:-3])


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, TypeError, OSError):
        msg = (
            f"{name!r} is not a time zone known here: it is a name such as 'Europe/Berlin'; where "
            "the system has no time zones, install the package tzdata"
        )
        raise InvalidOption(msg) from None
