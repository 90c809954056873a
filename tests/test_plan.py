"""What a schedule says: its bounds, its policies, the jobs of its ticks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobyard.errors import InvalidOption, StoreCorrupt
from jobyard.job import Dedup, JobSpec
from jobyard.options import RunOptions, pack, unpack
from jobyard.payloads import Payloads
from jobyard.plan import Plan, Schedule, make_plan, read_plan
from jobyard.schedule import ScheduleRecord

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
AT_NOON = 1_777_896_000_000
MINUTE = 60_000


def plan(**said) -> Plan:
    job = said.pop("job", JobSpec(id="", queue="q", name="n", payload=b"1"))
    asked = {
        "every": None,
        "cron": None,
        "timezone": "UTC",
        "start": None,
        "end": None,
        "limit": None,
        "immediately": False,
        "overlap": "allow",
        "catch_up": "one",
        "keep_for": None,
    }
    if "cron" not in said:
        said.setdefault("every", 60)
    return make_plan(job, **{**asked, **said})


def test_k123_the_first_tick_is_the_next_on_the_grid() -> None:
    assert plan().begin(AT_NOON + 1) == AT_NOON + MINUTE
    assert plan().begin(AT_NOON) == AT_NOON, "an instant on the grid is a tick itself"


def test_k123_a_start_is_the_first_tick_and_the_grid() -> None:
    begun = plan(every=60, start=NOON + timedelta(seconds=7))
    assert begun.begin(AT_NOON) == AT_NOON + 7_000
    assert begun.follow(AT_NOON + 7_000, now=AT_NOON + 7_001, fired=1) == AT_NOON + 67_000
    assert begun.begin(AT_NOON + 600_000) == AT_NOON + 607_000


def test_k123_no_tick_comes_after_the_end() -> None:
    ending = plan(end=NOON + timedelta(seconds=60))
    assert ending.follow(AT_NOON, now=AT_NOON, fired=1) == AT_NOON + MINUTE
    assert ending.follow(AT_NOON + MINUTE, now=AT_NOON + MINUTE, fired=2) is None
    assert ending.begin(AT_NOON + 2 * MINUTE) is None


def test_k123_a_limit_counts_the_ticks() -> None:
    limited = plan(limit=2)
    assert limited.follow(AT_NOON, now=AT_NOON, fired=1) == AT_NOON + MINUTE
    assert limited.follow(AT_NOON + MINUTE, now=AT_NOON + MINUTE, fired=2) is None


def test_k123_immediately_is_now_and_then_the_grid() -> None:
    eager = plan(immediately=True)
    assert eager.begin(AT_NOON + 5) == AT_NOON + 5
    assert eager.follow(AT_NOON + 5, now=AT_NOON + 5, fired=1) == AT_NOON + MINUTE


def test_k125_catching_up_with_one_goes_on_after_now() -> None:
    late = AT_NOON + 10 * MINUTE + 1
    assert plan(catch_up="one").follow(AT_NOON, now=late, fired=1) == AT_NOON + 11 * MINUTE
    assert plan(catch_up="all").follow(AT_NOON, now=late, fired=1) == AT_NOON + MINUTE


def test_k125_catching_up_with_none_leaves_out_what_is_late() -> None:
    none = plan(catch_up="none")
    assert not none.is_missed(AT_NOON, AT_NOON + 59_999)
    assert none.is_missed(AT_NOON, AT_NOON + MINUTE), "the next tick has come"
    daily = plan(cron="0 12 * * *", catch_up="none")
    assert not daily.is_missed(AT_NOON, AT_NOON + 60_000)
    assert daily.is_missed(AT_NOON, AT_NOON + 60_001), "it is late"
    assert not plan(catch_up="one").is_missed(AT_NOON, AT_NOON + 10 * MINUTE)


def test_the_job_of_a_tick_is_the_same_one_whoever_makes_it() -> None:
    one, other = plan().job_of("k", AT_NOON), plan().job_of("k", AT_NOON)
    assert one == other
    assert one.id != plan().job_of("k", AT_NOON + 1).id
    assert one.id != plan().job_of("k2", AT_NOON).id
    assert plan().job_by_hand("k", AT_NOON).id != plan().job_by_hand("k", AT_NOON).id


def test_the_job_of_a_tick_tells_of_it_in_its_headers() -> None:
    job = JobSpec(id="", queue="q", options=pack(RunOptions(headers={"a": "b"}, timeout_ms=5)))
    told = unpack(plan(job=job).job_of("k", AT_NOON).options)
    assert told.headers == {
        "a": "b",
        "jobyard-schedule": "k",
        "jobyard-tick": "2026-05-04T12:00:00+00:00",
    }
    assert told.timeout_ms == 5


def test_k127_skipping_overlaps_holds_a_key() -> None:
    assert plan(overlap="skip").job_of("k", AT_NOON).dedup == Dedup(key="schedule:k")
    assert plan().job_of("k", AT_NOON).dedup is None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"every": None}, "one of the two"),
        ({"every": 5, "cron": "* * * * *"}, "one of the two"),
        ({"every": 5, "timezone": "Europe/Berlin"}, "elapsed time"),
        ({"start": NOON, "end": NOON - timedelta(seconds=1)}, "not before its start"),
        ({"start": NOON.replace(tzinfo=None)}, "no time zone"),
        ({"start": NOON, "immediately": True}, "one of the two"),
        ({"limit": 0}, "1 or more"),
        ({"limit": True}, "1 or more"),
        ({"overlap": "maybe"}, "overlap"),
        ({"catch_up": "some"}, "catch_up"),
        ({"overlap": "skip", "job": JobSpec(id="", queue="q", dedup=Dedup(key="x"))}, "dedup"),
    ],
)
def test_k123_what_cannot_be_is_refused(said: dict, words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        plan(**said)


def test_a_plan_comes_back_as_it_was_written() -> None:
    asked = plan(cron="0 2 * * *", timezone="Europe/Berlin", limit=3, overlap="skip")
    record = ScheduleRecord(key="k", definition=asked.encode(), next_at=AT_NOON, fired=1)
    assert read_plan(record) == asked
    assert (
        asked.encode()
        == plan(cron=" 0  2 * * * ", timezone="Europe/Berlin", limit=3, overlap="skip").encode()
    )
    shown = Schedule.of(record, Payloads())
    assert (shown.cron, shown.timezone, shown.every) == ("0 2 * * *", "Europe/Berlin", None)
    assert (shown.next_at, shown.fired, shown.data) == (NOON, 1, 1)


def test_what_cannot_be_read_is_told_as_that() -> None:
    with pytest.raises(StoreCorrupt, match="'k' cannot be read"):
        Schedule.of(ScheduleRecord(key="k", definition=b"\xc1", next_at=None), Payloads())
