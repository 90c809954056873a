"""The checker of histories, tested: each fault planted alone is told as what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from conformance.tests.planted import PLANTED
from conformance.tests.tale import Tale, ended

from jobyard_conformance.history import (
    INVARIANTS,
    JobNote,
    Kind,
    assemble,
    check,
    counterexample,
)


@pytest.mark.parametrize(
    ("invariant", "job", "plant"), PLANTED, ids=[each[2].__name__ for each in PLANTED]
)
def test_a_planted_fault_is_the_one_that_is_told(
    invariant: str, job: str, plant: Callable[[Tale], None]
) -> None:
    tale = Tale()
    plant(tale)
    assert tale.faults() == [(invariant, job)]


def test_a_fault_is_planted_for_each_invariant() -> None:
    assert {each[0] for each in PLANTED} == set(INVARIANTS)


# And these have none, though they look as if.


def answer_of_a_settle_lost(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1)
    tale.settle("j1", 1, lost=True)
    tale.final(ended("j1"))


def settle_repeated_after_a_lost_answer(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1)
    tale.settle("j1", 1, "Retried", lost=True)
    tale.settle("j1", 1, "Retried", answer="already")
    tale.claim("j1", 2, failures=1)
    tale.settle("j1", 2)
    tale.final(ended("j1", 2, failures=1))


def add_without_an_answer(tale: Tale) -> None:
    tale.add("j1", "j2", lost=True)
    tale.final()


def claim_repeated(tale: Tale) -> None:
    tale.add("j1")
    tale.op(Kind.CLAIM, lost=True, lease="L1", limit=1, queues=("q",), whole=True)
    tale.claim("j1", 1)
    tale.claim("j1", 1)
    tale.start("j1", 1)
    tale.settle("j1", 1)
    tale.final(ended("j1"))


def claim_lost_and_reaped_by_nobody_heard(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1, ttl=5)
    tale.now += 10
    tale.op(Kind.REAP, lost=True, who="r")
    tale.claim("j1", 2, crashes=1)
    tale.settle("j1", 2)
    tale.final(ended("j1", 2, crashes=1))


def run_of_a_claim_without_an_answer(tale: Tale) -> None:
    tale.add("j1")
    tale.op(Kind.CLAIM, lost=True, lease="L1", queues=("q",))
    tale.start("j1", 1)


def revived(tale: Tale) -> None:
    tale.add("j1")
    tale.claim("j1", 1)
    tale.settle("j1", 1, "Failed")
    tale.op(Kind.CHANGE, JobNote(id="j1", outcome="Revive"), answers={"answer": "ok"})
    tale.claim("j1", 2)
    tale.settle("j1", 2)
    tale.final(ended("j1", 2))


def removed(tale: Tale) -> None:
    tale.add("j1")
    tale.op(Kind.CHANGE, JobNote(id="j1", outcome="Remove"), answers={"answer": "ok"})
    tale.final()


def group_in_turn(tale: Tale) -> None:
    tale.add("j1", "j2", group="g", places=1, plain=False)
    for number in (1, 2):
        tale.claim(f"j{number}", number)
        tale.settle(f"j{number}", number)


def claim_repeated_after_its_lease_was_reaped(tale: Tale) -> None:
    """The repeat gives the job anew, under the same lease id and a greater fence (CLAIM-8)."""
    tale.add("j1")
    tale.claim("j1", 1, ttl=5)
    tale.now += 10
    tale.reap("j1", 1)
    tale.claim("j1", 2, lease="L1", crashes=1)
    mine = JobNote(id="j1", lease="L1", fence=2, outcome="Retried")
    tale.op(Kind.SETTLE, mine, answers={"answer": "ok"})
    tale.claim("j1", 3, crashes=1, failures=1)
    tale.settle("j1", 3)
    tale.final(ended("j1", 3, crashes=1, failures=1))


def rate_whose_starts_are_known_roughly(tale: Tale) -> None:
    """The second start was asked for with an old reading, and told when the period was over."""
    tale.add("j1", "j2", "j3", rate="r", slots=2, per_ms=90, plain=False)
    tale.claim("j1", 1)
    old = tale.now
    tale.claim("j3", 2)
    tale.now += 200
    tale.claim("j2", 3)
    asked = next(each for each in tale.records if each.lease == "L3")
    place = tale.records.index(asked)
    tale.records[place] = msgspec.structs.replace(asked, store_at=old)


def rate_given_on_at_a_later_reading(tale: Tale) -> None:
    """A reap let the third job on when the period was over; who took it brought an old reading."""
    tale.add("j1", "j2", "j3", rate="r", slots=2, per_ms=90, plain=False)
    tale.claim("j1", 1, ttl=500)
    tale.claim("j3", 2, ttl=500)
    old = tale.now
    tale.now += 200
    tale.op(Kind.REAP, told=(), limit=10, who="r")
    place = len(tale.records)
    tale.claim("j2", 3, who="w2")
    tale.records[place:] = [
        msgspec.structs.replace(each, store_at=old) for each in tale.records[place:]
    ]


def extended_where_nobody_heard(tale: Tale) -> None:
    """The reap came after the lease's first end, and perhaps not after that of its extension."""
    tale.add("j1", "j2")
    tale.claim("j1", 1, ttl=5)
    mine = JobNote(id="j1", lease="L1", fence=1)
    tale.op(Kind.EXTEND, mine, lost=True, ttl_ms=500)
    tale.now += 10
    tale.claim("j2", 2)
    tale.op(Kind.REAP, told=(), limit=10, who="r")


def reap_without_room(tale: Tale) -> None:
    tale.add("j1", "j2", "j3")
    tale.claim("j1", 1, ttl=5)
    tale.claim("j2", 2, ttl=5)
    tale.now += 10
    tale.claim("j3", 3)
    tale.op(Kind.REAP, told=(JobNote(id="j1", fence=1, state="waiting"),), limit=1, who="r")


def reap_beside_a_settle_by_an_old_lease(tale: Tale) -> None:
    """Who settles too late holds the job's row for as long as it takes to be told so."""
    tale.add("j1")
    tale.claim("j1", 1, ttl=5)
    tale.now += 10
    tale.reap("j1", 1, crashes=1)
    tale.claim("j1", 2, ttl=5, crashes=1, who="w2")
    tale.settle("j1", 1, lost=True)
    tale.now += 10
    tale.op(Kind.REAP, told=(), limit=10, who="r")


def claim_that_asks_for_another(tale: Tale) -> None:
    tale.add("j1")
    empty: dict[str, Any] = {"told": (), "limit": 5, "queues": ("q",), "whole": True}
    tale.op(Kind.CLAIM, lease="L1", answers={}, again=True, **empty)
    tale.claim("j1", 2)


def claim_that_is_asked_again(tale: Tale) -> None:
    """Its jobs are given once more; one that came meanwhile is for another claim."""
    tale.add("j1")
    held = JobNote(id="j1", queue="q", lease="L1", fence=1, no=1, until=tale.now + 50)
    wide: dict[str, Any] = {"told": (held,), "limit": 5, "queues": ("q",), "whole": True}
    tale.op(Kind.CLAIM, lease="L1", **wide)
    tale.add("j2")
    tale.op(Kind.CLAIM, lease="L1", **wide)
    tale.claim("j2", 2)


def queue_that_was_paused(tale: Tale) -> None:
    tale.add("j1")
    tale.op(Kind.CONTROL, text="Pause", queues=("q",))
    tale.op(Kind.CLAIM, told=(), lease="L1", limit=5, queues=("q",), whole=True)
    tale.op(Kind.CONTROL, text="Resume", queues=("q",))
    tale.claim("j1", 2)


def taken_by_a_claim_that_nobody_heard_of(tale: Tale) -> None:
    tale.add("j1")
    tale.op(Kind.CLAIM, lost=True, lease="L0", limit=5, queues=("q",), whole=True, who="w2")
    tale.op(Kind.CLAIM, told=(), lease="L1", limit=5, queues=("q",), whole=True)


def released_and_taken_where_nobody_heard(tale: Tale) -> None:
    """Who took it in between was killed before it heard, and its lease was reaped."""
    tale.add("j1")
    tale.claim("j1", 1)
    tale.settle("j1", 1, "Released")
    tale.op(Kind.CLAIM, lost=True, lease="L2", limit=1, queues=("q",), whole=True, who="w2")
    tale.now += 100
    tale.reap("j1", 2, crashes=1)
    tale.claim("j1", 3, crashes=1)


def group_by_priority(tale: Tale) -> None:
    grouped: dict[str, Any] = {"group": "g", "places": 1, "plain": False, "in_turn": True}
    tale.add("j1", **grouped)
    tale.add("j2", priority=5, **grouped)
    for number in (2, 1):
        tale.claim(f"j{number}", 3 - number, priority=5 * (number - 1))
        tale.settle(f"j{number}", 3 - number)


@pytest.mark.parametrize(
    "tell",
    [
        extended_where_nobody_heard,
        reap_without_room,
        reap_beside_a_settle_by_an_old_lease,
        claim_that_asks_for_another,
        claim_that_is_asked_again,
        queue_that_was_paused,
        taken_by_a_claim_that_nobody_heard_of,
        released_and_taken_where_nobody_heard,
        group_by_priority,
        claim_repeated_after_its_lease_was_reaped,
        rate_whose_starts_are_known_roughly,
        rate_given_on_at_a_later_reading,
        answer_of_a_settle_lost,
        settle_repeated_after_a_lost_answer,
        add_without_an_answer,
        claim_repeated,
        claim_lost_and_reaped_by_nobody_heard,
        run_of_a_claim_without_an_answer,
        revived,
        removed,
        group_in_turn,
    ],
)
def test_what_may_have_happened_is_no_fault(tell: Callable[[Tale], None]) -> None:
    tale = Tale()
    tell(tale)
    assert tale.faults() == []


def test_a_counterexample_is_the_life_of_one_job() -> None:
    tale = Tale()
    tale.add("j1", "j2")
    tale.claim("j1", 1)
    tale.tell(Kind.FAULT, text="the server was cut off")
    tale.claim("j1", 2, who="w2")
    history = assemble(tale.records)
    shown = counterexample(history, check(history), seed=7, command="pytest -k it").splitlines()
    assert "I3 of j1: lease 2 was given while 1 still held the job" in shown[1]
    assert [line for line in shown if "1/w2" in line and "claim" in line]
    assert [line for line in shown if "the server was cut off" in line]
    assert not any("j2" in line for line in shown)
    assert shown[-2:] == ["The seed: 7", "To run it again: pytest -k it"]
