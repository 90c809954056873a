from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobyard.edits import Cancel, Remove
from jobyard.job import JobState
from jobyard.lease import Done
from jobyard.query import JobQuery

if TYPE_CHECKING:
    from tests.memory.conftest import Bench


def pages(bench: Bench, *, newest_first: bool, limit: int) -> list[list[str]]:
    found = []
    after: str | None = None
    while True:
        query = JobQuery(newest_first=newest_first, limit=limit, after=after)
        page = bench.engine.find(query)
        found.append([record.id for record in page.items])
        after = page.next
        if after is None:
            return found


@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_hold_every_job_once_in_order_of_insertion(bench: Bench, newest_first: bool) -> None:
    ids = list(map(str, range(4)))
    bench.add(*ids)
    expected = [["3", "2"], ["1", "0"]] if newest_first else [["0", "1"], ["2", "3"]]
    assert pages(bench, newest_first=newest_first, limit=2) == expected


def test_a_page_follows_its_cursor_whatever_has_been_removed(bench: Bench) -> None:
    bench.add("1", "2", "3", "4")
    first = bench.engine.find(JobQuery(limit=2))
    bench.change("2", Remove())
    bench.change("3", Cancel())
    bench.add("5")
    second = bench.engine.find(JobQuery(limit=2, after=first.next))
    assert [record.id for record in second.items] == ["3", "4"]


def test_filters_pass_what_fits_all_of_them(bench: Bench) -> None:
    bench.add("other-queue", queue="x")
    bench.add("early", name="n")
    bench.now += 5
    bench.add("fits", "waits", name="n")
    bench.add("nameless")
    bench.now += 5
    bench.add("late", name="n")
    bench.change("fits", Cancel())

    def found(**filters: object) -> list[str]:
        return [record.id for record in bench.engine.find(JobQuery(**filters)).items]  # type: ignore[arg-type]

    assert found(queue="x") == ["other-queue"]
    assert found(names=frozenset({""})) == ["other-queue", "nameless"]
    assert found(states=frozenset({JobState.CANCELLED})) == ["fits"]
    assert found(created_from=1_000_005, created_until=1_000_010) == ["fits", "waits", "nameless"]
    assert found(names=frozenset({"n"}), states=frozenset({JobState.WAITING}), queue="q") == [
        "early",
        "waits",
        "late",
    ]


def test_a_queue_shows_its_counts_and_its_earliest_waiting_due(bench: Bench) -> None:
    bench.run("done", Done())
    bench.add("urgent", priority=9)
    bench.now += 5
    bench.add("1", "2")
    bench.add("later", delay_ms=5)
    info = bench.queue()
    assert (info.counts.waiting, info.counts.delayed, info.counts.completed) == (3, 1, 1)
    assert info.oldest_due == 1_000_000
    bench.claim(limit=1)
    assert (bench.queue().oldest_due, bench.queue().counts.active) == (1_000_005, 1)


def test_ids_are_answered_in_the_order_asked(bench: Bench) -> None:
    bench.add("1", "2")
    found = bench.engine.get(["2", "none", "1", "2"])
    assert [record and record.id for record in found] == ["2", None, "1", "2"]
