"""Histories with one fault each, planted alone, for the tests of the checker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from conformance.tests.tale import Tale, ended

from jobyard_conformance.history import JobNote, Kind


def lost_job(tale: Tale) -> None:
    tale.add("j1", "j2")
    tale.claim("j1", 1)
    tale.settle("j1", 1)
    tale.final(ended("j1"))


def job_of_nobody(tale: Tale) -> None:
    tale.final(JobNote(id="j1", queue="q", state="waiting"), drained=False)


def result_of_another(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1)
    tale.settle("j1", 1, digest="mine")
    tale.final(ended("j1", digest="other"))


def left_over(tale: Tale) -> None:
    tale.add("j1")
    tale.final(JobNote(id="j1", queue="q", state="waiting"))


def run_that_no_claim_gave(tale: Tale) -> None:
    tale.add("j1")
    tale.start("j1", 7)
    tale.claim("j1", 8)


def done_that_nobody_settled(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1)
    tale.final(ended("j1"))


def held_by_two(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1)
    tale.claim("j1", 2, who="w2")


def reaped_early(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1, ttl=50)
    tale.reap("j1", 1)
    tale.claim("j1", 2, crashes=1)


def reaped_though_extended(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1, ttl=50)
    tale.extend("j1", 1, ttl_ms=500)
    tale.now += 100
    tale.reap("j1", 1)
    tale.claim("j1", 2, crashes=1)


def settled_by_a_zombie(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1, ttl=5)
    tale.now += 10
    tale.reap("j1", 1)
    tale.claim("j1", 2, crashes=1)
    tale.settle("j1", 1, "Released")


def extended_by_a_zombie(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1, ttl=5)
    tale.now += 10
    tale.reap("j1", 1)
    tale.claim("j1", 2, crashes=1)
    tale.extend("j1", 1)


def extended_after_its_end(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1)
    tale.settle("j1", 1)
    tale.extend("j1", 1)


def older_write_after_a_newer(tale: Tale) -> None:
    tale.add("j1")
    for fence in (2, 1):
        tale.tell(Kind.EFFECT, JobNote(id="j1", fence=fence, answer="ok"))


def fence_that_shrinks(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 5)
    tale.settle("j1", 5, "Released")
    tale.claim("j1", 4)
    tale.settle("j1", 4, "Released")


def claimed_after_its_end(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1)
    tale.settle("j1", 1)
    tale.claim("j1", 2)


def crash_loop_that_goes_on(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 9, crashes=3, max_crashes=3)


def counts_that_drift(tale: Tale) -> None:
    tale.add("j1")
    tale.final(JobNote(id="j1", queue="q", state="waiting"), drained=False, waiting=1, active=1)


def there_twice(tale: Tale) -> None:
    tale.add("j1")
    twice = JobNote(id="j1", queue="q", state="waiting")
    tale.final(twice, twice, drained=False)


def half_a_unit(tale: Tale) -> None:
    tale.add("j1", "j2", lost=True)
    tale.final(JobNote(id="j1", queue="q", state="waiting"), drained=False)


def passed_over(tale: Tale) -> None:
    tale.add("j1", "j2")
    tale.claim("j2", 1)
    tale.claim("j1", 2)


def settled_twice(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1)
    tale.settle("j1", 1)
    tale.settle("j1", 1)


def run_twice(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1)
    tale.start("j1", 1)
    tale.start("j1", 1)


def crash_counted_as_a_failure(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1, ttl=5)
    tale.now += 10
    tale.reap("j1", 1)
    waiting = ended("j1", state="waiting", failures=1, crashes=1)
    tale.final(waiting, drained=False)


def crash_not_counted(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1, ttl=5)
    tale.now += 10
    tale.reap("j1", 1)
    tale.final(ended("j1", state="waiting"), drained=False)


def retried_early(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1)
    tale.settle("j1", 1, "Retried", delay_ms=500)
    tale.claim("j1", 2, failures=1)


def expired_and_left_alone(tale: Tale) -> None:
    tale.add("j1", "j2")
    tale.claim("j1", 1, ttl=5)
    tale.now += 10
    tale.claim("j2", 2)
    tale.op(Kind.REAP, told=(), limit=10, who="r")


def tick_that_was_not_told(tale: Tale) -> None:
    tale.op(Kind.FIRE, text="s@60")
    tale.final(fired={"s": 2})


def left_to_wait(tale: Tale) -> None:
    tale.add("j1")
    tale.op(Kind.CLAIM, told=(), lease="L1", limit=5, queues=("q",), whole=True)


def left_to_wait_after_a_crash(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1, ttl=5)
    tale.now += 10
    tale.reap("j1", 1, crashes=1)
    tale.op(Kind.CLAIM, told=(), lease="L2", limit=5, queues=("q",), whole=True)
    tale.claim("j1", 3, crashes=1)


def out_of_turn(tale: Tale) -> None:
    grouped: dict[str, Any] = {"group": "g", "places": 1, "plain": False, "in_turn": True}
    tale.add("j1", **grouped)
    tale.add("j2", **grouped)
    for number in (2, 1):
        tale.claim(f"j{number}", 3 - number)
        tale.settle(f"j{number}", 3 - number)


def fired_twice(tale: Tale) -> None:
    for _ in range(2):
        tale.op(Kind.FIRE, text="s@60")


def release_that_costs(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1)
    tale.settle("j1", 1, "Released")
    tale.claim("j1", 2, failures=1)


def held_for_who_left(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1)
    tale.tell(Kind.LEAVE)
    tale.final(ended("j1", state="active"), drained=False)


def time_that_goes_back(tale: Tale) -> None:
    tale.add("j1", "j2")
    tale.claim("j1", 1)
    later = tale.now
    tale.now = 900
    tale.claim("j2", 2)
    for number, each in enumerate(tale.records):
        if each.at < later * 10 and number > 3:
            tale.records[number] = msgspec.structs.replace(each, at=each.at + 10_000)


def group_that_overlaps(tale: Tale) -> None:
    tale.add("j1", "j2", group="g", places=1, plain=False)
    tale.claim("j1", 1)
    tale.settle("j1", 1, "Retried")
    tale.claim("j2", 2)
    tale.settle("j2", 2)


def rate_that_leaks(tale: Tale) -> None:
    tale.add("j1", "j2", "j3", rate="r", slots=2, per_ms=1_000, plain=False)
    for number in (1, 2, 3):
        tale.claim(f"j{number}", number)


def child_before_its_parent(tale: Tale) -> None:
    tale.add("j1")
    tale.add("j2", parents=("j1",), plain=False)
    tale.claim("j1", 1)
    tale.claim("j2", 2)


PLANTED: list[tuple[str, str, Callable[[Tale], None]]] = [
    ("I1", "j2", lost_job),
    ("I1", "j1", job_of_nobody),
    ("I1", "j1", result_of_another),
    ("I1", "j1", left_over),
    ("I2", "j1", run_that_no_claim_gave),
    ("I2", "j1", done_that_nobody_settled),
    ("I3", "j1", held_by_two),
    ("I3", "j1", reaped_early),
    ("I3", "j1", reaped_though_extended),
    ("I4", "j1", settled_by_a_zombie),
    ("I4", "j1", extended_by_a_zombie),
    ("I4", "j1", extended_after_its_end),
    ("I4", "j1", older_write_after_a_newer),
    ("I5", "j1", fence_that_shrinks),
    ("I5", "j1", claimed_after_its_end),
    ("I5", "j1", crash_loop_that_goes_on),
    ("I6", "", counts_that_drift),
    ("I6", "j1", there_twice),
    ("I6", "j2", half_a_unit),
    ("I7", "j1", passed_over),
    ("I8", "j1", settled_twice),
    ("I8", "j1", run_twice),
    ("I8", "j1", crash_counted_as_a_failure),
    ("I8", "j1", crash_not_counted),
    ("I9", "j1", retried_early),
    ("I10", "j1", expired_and_left_alone),
    ("I11", "", fired_twice),
    ("I11", "", tick_that_was_not_told),
    ("I12", "j1", release_that_costs),
    ("I12", "j1", held_for_who_left),
    ("I13", "", time_that_goes_back),
    ("I14", "j1", left_to_wait),
    ("I14", "j1", left_to_wait_after_a_crash),
    ("TURN", "j1", out_of_turn),
    ("GROUP", "j2", group_that_overlaps),
    ("RATE", "j3", rate_that_leaks),
    ("DEP", "j2", child_before_its_parent),
]
