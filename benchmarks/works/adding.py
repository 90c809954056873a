"""W1, W2, W3: adding one by one, from many tasks, and in bulk."""

from __future__ import annotations

from typing import Final

from benchmarks.bench import Bench
from benchmarks.book import Figure
from benchmarks.children import Facts, measure

TASKS: Final = 50


def _add_one(bench: Bench, work: str, jobs: int) -> Figure:
    with bench.place() as url:
        facts = measure("add_one", url, first=0, jobs=jobs)
    return _note(bench, work, "one awaited call at a time", jobs, facts)


def _note(bench: Bench, work: str, name: str, jobs: int, facts: Facts) -> Figure:
    rate = bench.book.rate(work, name, jobs, facts["seconds"])
    bench.book.note(work, f"  processor time, {name}", "µs/job", facts["cpu"] / jobs * 1e6)
    return rate


def _raw_add(bench: Bench, name: str, *, awaited: bool) -> Figure:
    jobs = bench.sizes.add_one
    with bench.place() as url:
        facts = measure("raw_add", url, jobs=jobs, awaited=awaited)
    return _note(bench, "W1", name, jobs, facts)


def w1(bench: Bench) -> None:
    """Add jobs one awaited call at a time, and as many rows with the driver alone."""
    book = bench.book
    for _ in bench.rounds("W1"):
        driver = _raw_add(bench, "driver alone, one row added and committed", awaited=False)
        ours = _add_one(bench, "W1", bench.sizes.add_one)
        awaited = _raw_add(bench, "driver alone, awaited from a thread", awaited=True)
        ratio = book.ratio("W1", "add_job / driver", ours, driver)
        book.at_least(ratio, bench.store.targets.add_one)
        book.ratio("W1", "add_job / driver awaited", ours, awaited)


def w2(bench: Bench) -> None:
    """Add jobs from 50 tasks at once."""
    book, jobs = bench.book, bench.sizes.add_together
    for _ in bench.rounds("W2"):
        alone = _add_one(bench, "W2", bench.sizes.add_one)
        with bench.place() as url:
            facts = measure("add_together", url, jobs=jobs, tasks=TASKS)
        together = _note(bench, "W2", f"from {TASKS} tasks at once", jobs, facts)
        book.at_least(book.ratio("W2", f"{TASKS} tasks / one", together, alone), 4.0)


def w3(bench: Bench) -> None:
    """Add jobs in bulk calls."""
    jobs, bulk = bench.sizes.add_bulk, bench.sizes.bulk
    for _ in bench.rounds("W3"):
        with bench.place() as url:
            facts = measure("add_bulk", url, jobs=jobs, bulk=bulk)
        _note(bench, "W3", f"in calls of {bulk:,}", jobs, facts)
