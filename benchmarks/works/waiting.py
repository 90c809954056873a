"""W5: from an add to the start of its handler, on an idle worker."""

from __future__ import annotations

from typing import Final

from benchmarks.bench import Bench, check_once
from benchmarks.book import percentile
from benchmarks.children import Child, Facts, measure

SETTLE: Final = 0.3
"""How long a worker is given to come to rest."""

PERCENTS: Final = (50, 95, 99)


def w5(bench: Bench) -> None:
    """Measure the time to start within a process, across two, and from add to claim by hand."""
    book, sizes = bench.book, bench.sizes
    how = {"jobs": sizes.latency_jobs, "pause": sizes.latency_pause}
    for _ in bench.rounds("W5", sizes.latency_rounds):
        with bench.place() as url:
            facts = measure("call_and_hear", url, settle=SETTLE, **how)
        within = _delays(facts, facts)
        with bench.place() as url, Child("hear", url, settle=SETTLE) as worker:
            called = measure("call", url, **how)
            worker.tell()
            across = _delays(called, worker.result())
        with bench.place() as url:
            raw = [seconds * 1e3 for seconds in measure("raw_start", url, **how)["seconds"]]
        places = (("in process", within), ("across processes", across), ("driver alone", raw))
        for place, delays in places:
            for percent in PERCENTS:
                figure = book.note("W5", f"{place}, p{percent}", "ms", percentile(delays, percent))
                if (place, percent) == ("across processes", 99):
                    book.at_most(figure, bench.store.targets.start_p99_ms)


def _delays(called: Facts, started: Facts) -> list[float]:
    """Return the milliseconds from each call to its start."""
    times: dict[int, int] = dict(called["called"])
    check_once([number for number, _ in started["started"]], range(len(times)))
    return [(at - times[number]) / 1e6 for number, at in started["started"]]
