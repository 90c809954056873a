"""W8: four queues, mixed priorities, and jobs that fail once."""

from __future__ import annotations

from typing import Final

from benchmarks.bench import Bench, check_once
from benchmarks.children import measure

QUEUES: Final = ("emails", "images", "reports", "exports")
PRIORITIES: Final = (0, 10, -10, 20)
FAILING: Final = 3
"""Of ten jobs, those that fail at their first attempt."""

CONCURRENCY: Final = 200


def w8(bench: Bench) -> None:
    """Drain four queues in which three jobs of ten fail once and are tried again at once."""
    jobs = bench.sizes.mixed
    for _ in bench.rounds("W8"):
        with bench.place() as url:
            measure(
                "fill_mixed",
                url,
                jobs=jobs,
                queues=QUEUES,
                priorities=PRIORITIES,
                bulk=bench.sizes.bulk,
            )
            facts = measure(
                "drain_mixed", url, queues=QUEUES, failing=FAILING, concurrency=CONCURRENCY
            )
        retried = [number for number in range(jobs) if number % 10 < FAILING]
        check_once(facts["failed"], retried)
        check_once(facts["ran"], range(jobs))
        bench.book.rate("W8", "jobs settled for good", jobs, facts["seconds"])
        runs = jobs + len(retried)
        bench.book.rate("W8", "runs settled, those that failed too", runs, facts["seconds"])
