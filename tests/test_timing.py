"""B-09, K-122: when schedules tick, over the days on which clocks jump too."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from jobyard.contract import MAX_INSTANT
from jobyard.errors import InvalidOption
from jobyard.timing import Cron, Every

PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "schedules.md"

ZONES = {
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "America/St_Johns": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-10-04", "2026-04-05"),
    "Africa/Cairo": ("2026-04-24", "2026-10-29"),
}
"""Zones, and their days in 2026 that lose time and gain it: at 02:00, by an hour, but half an hour
on Lord Howe and at midnight in Cairo."""


def ms(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def ticks(timing: Cron | Every, begin: int, end: int) -> list[int]:
    """The ticks in `[begin, end)`."""
    found: list[int] = []
    tick = timing.after(begin - 1)
    while tick is not None and tick < end:
        found.append(tick)
        tick = timing.after(tick)
    return found


def day_of(zone: str, day: str) -> tuple[int, int]:
    """Where a local day begins and ends."""
    begin = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    after = (begin.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=ZoneInfo(zone))
    return ms(begin.astimezone(UTC)), ms(after.astimezone(UTC))


# -- the rule, as it is written --------------------------------------------------------------------


def rows_of_the_page() -> Iterator[tuple[str, str, str, list[str]]]:
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0] in ZONES:
            zone, day, expression, fires = cells
            yield zone, day, expression, [] if fires == "never" else fires.split(", ")


@pytest.mark.parametrize(("zone", "day", "expression", "fires"), list(rows_of_the_page()))
@pytest.mark.case("T08", "T09")
def test_b09_the_table_of_the_page_is_true(
    zone: str, day: str, expression: str, fires: list[str]
) -> None:
    found = [
        datetime.fromtimestamp(tick / 1000, ZoneInfo(zone)).strftime("%H:%M%z")
        for tick in ticks(Cron.of(expression, zone), *day_of(zone, day))
    ]
    assert found == [re.sub(r"(?<=[+-]\d\d):", "", each) for each in fires]


def test_b09_the_table_has_both_changes_of_five_zones() -> None:
    assert {(zone, day) for zone, day, _, _ in rows_of_the_page()} == {
        (zone, day) for zone, days in ZONES.items() for day in days
    }


# -- the rule, by looking at every minute ----------------------------------------------------------


def by_elapsed_time(expression: str, zone: ZoneInfo, minutes: list[datetime]) -> list[datetime]:
    return [m for m in minutes if croniter.match(expression, shown(m, zone))]


def by_the_clock(expression: str, zone: ZoneInfo, minutes: list[datetime]) -> list[datetime]:
    first_shown: dict[datetime, datetime] = {}
    for minute in minutes:
        first_shown.setdefault(shown(minute, zone), minute)
    named = shown(minutes[0], zone)
    found: set[datetime] = set()
    while named <= shown(minutes[-1], zone):
        if croniter.match(expression, named):
            at = named
            while at not in first_shown:
                at += timedelta(minutes=1)
            found.add(first_shown[at])
        named += timedelta(minutes=1)
    return sorted(found)


def shown(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None)


def expressions() -> Iterator[str]:
    chance = random.Random(7)
    minutes = ["*", "*/7", "*/30", "0", "30", "15,45", "5-10", "59"]
    hours = ["*", "*/2", "0", "1", "2", "1-3", "0,2", "23"]
    for _ in range(5):
        yield f"{chance.choice(minutes)} {chance.choice(hours)} * * *"


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", [*dict.fromkeys(expressions()), "30 2 * * *", "0 0 * * *"])
@pytest.mark.case("T08", "T09")
def test_b09_the_rule_holds_minute_by_minute(zone: str, expression: str) -> None:
    look = (
        by_elapsed_time
        if any(field.startswith("*") for field in expression.split()[:2])
        else by_the_clock
    )
    for day in ZONES[zone]:
        # A day that begins at its own midnight, with some hours before it and after.
        begin, end = (instant // 60_000 for instant in day_of(zone, day))
        start = datetime(1970, 1, 1, tzinfo=UTC)
        minutes = [start + timedelta(minutes=n) for n in range(begin - 180, end + 180)]
        expected = [ms(at) for at in look(expression, ZoneInfo(zone), minutes)]
        found = ticks(Cron.of(expression, zone), ms(minutes[0]), ms(minutes[-1]) + 60_000)
        assert found == expected, day


# -- without jumps ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 * * *",
        "*/5 2-4/2 * * *",
        "0 9,17 * * mon-fri",
        "15 10 1-7 jan,jul *",
        "0 0 * * 7",
        "0 0 L * *",
        "0 12 * * sat#2",
        "@weekly",
        "@monthly",
    ],
)
def test_k122_ticks_are_those_of_croniter_where_no_clock_jumps(expression: str) -> None:
    begin = datetime(2026, 1, 1, 6, tzinfo=UTC)
    reference = croniter(expression, begin)
    timing = Cron.of(expression)
    before = ms(begin)
    for _ in range(40):
        tick = ms(reference.get_next(datetime))
        assert timing.after(before) == tick
        before = tick


def test_k122_midnight_seen_at_six_is_the_next_midnight() -> None:
    six = datetime(2026, 5, 4, 6, tzinfo=UTC)
    assert Cron.of("0 0 * * *").after(ms(six)) == ms(datetime(2026, 5, 5, tzinfo=UTC))


def test_k122_six_fields_have_the_seconds_first() -> None:
    noon = ms(datetime(2026, 5, 4, 12, tzinfo=UTC))
    assert ticks(Cron.of("*/20 0 12 * * *"), noon, noon + 86_400_000) == [
        noon,
        noon + 20_000,
        noon + 40_000,
    ]


def test_an_instant_between_two_seconds_has_the_next_one() -> None:
    assert Cron.of("* * * * * *").after(1_500) == 2_000
    assert Cron.of("* * * * * *").after(2_000) == 3_000
    assert Cron.of("* * * * *").after(59_999) == 60_000


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "x",
        "* * * *",
        "60 * * * *",
        "* * * * * * *",
        "R * * * *",
        "H * * * *",
        "0 0 30 2 *",
        "@reboot",
        "@nightly",
        7,
    ],
)
def test_k122_what_is_no_expression_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidOption, match="cron"):
        Cron.of(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "CET "])
def test_what_is_no_zone_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidOption, match="time zone"):
        Cron.of("0 0 * * *", wrong)


def test_k120_every_stays_on_its_grid() -> None:
    assert ticks(Every.of(0.25), 900, 2_000) == [1_000, 1_250, 1_500, 1_750]
    anchored = Every.of(timedelta(seconds=10), anchor_ms=3_000)
    assert ticks(anchored, 0, 25_000) == [3_000, 13_000, 23_000]
    assert anchored.after(-100_000) == -97_000


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), "5", True, None])
def test_what_is_no_interval_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidOption, match="every"):
        Every.of(wrong)  # type: ignore[arg-type]


def test_nothing_ticks_beyond_what_stores_can_order() -> None:
    assert Every.of(10).after(MAX_INSTANT) is None
    assert Cron.of("0 0 1 1 *").after(MAX_INSTANT) is None
