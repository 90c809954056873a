"""What a store is made to do for one fixed scenario is no more than docs/explanation/costs.md says.

No clock is looked at. A number that is to be greater from now on is written with
`python -m tests.costs`.
"""

from pathlib import Path

import pytest
from tests.costs.meters import METERS
from tests.costs.page import PAGE, column, dearer, render
from tests.costs.scenario import STEPS, Entry, measure

TABLE = PAGE.read_text(encoding="utf-8")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("store", METERS)
async def test_a_scenario_costs_no_more_than_the_table_says(store: str, tmp_path: Path) -> None:
    with METERS[store].opened(tmp_path) as meter:
        entries = await measure(meter)

    told = column(store, TABLE)
    assert dearer(entries, told) == []
    assert all(sum(entry.counts) > 0 for entry in entries)
    assert {(STEPS[entry.step], entry.method) for entry in entries} == told.keys()


FOUND = [Entry("drain", "claim", 1, (12, 7)), Entry("drain", "settle", 12, (1_890, 0))]


def test_what_is_written_is_read_back() -> None:
    told = column("PostgreSQL", render({"PostgreSQL": FOUND}))

    assert list(told.values()) == [(1, (12, 7)), (12, (1_890, 0))]
    assert dearer(FOUND, told) == []


@pytest.mark.parametrize(
    "entry",
    [
        FOUND[1]._replace(counts=(1_891, 0)),
        FOUND[1]._replace(counts=(1_890, 1)),
        FOUND[1]._replace(calls=13),
        FOUND[1]._replace(method="reap"),
        FOUND[1]._replace(counts=(1_890,)),
    ],
    ids=repr,
)
def test_what_is_dearer_is_told(entry: Entry) -> None:
    told = column("PostgreSQL", render({"PostgreSQL": FOUND}))

    assert len(dearer([FOUND[0], entry], told)) == 1
