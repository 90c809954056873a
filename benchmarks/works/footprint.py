"""W7: what a waiting job takes in the store, and a worker in memory and time."""

from __future__ import annotations

import asyncio
from typing import Final

from benchmarks.bench import Bench, check_once
from benchmarks.children import Child, measure
from benchmarks.jobs import fill

MIB: Final = 1024 * 1024
CONCURRENCY: Final = 200
SETTLE: Final = 1.0


def w7(bench: Bench) -> None:
    """Weigh waiting jobs, a busy worker and an idle one."""
    book, jobs = bench.book, bench.sizes.weighed
    for _ in bench.rounds("W7", 1):
        with bench.place() as url:
            asyncio.run(fill(url, range(0)))
            empty = bench.store.weigh(url)
            asyncio.run(fill(url, range(jobs)))
            weight = (bench.store.weigh(url) - empty) / jobs
            book.note("W7", "a waiting job in the store", "bytes", weight)
            facts = measure("drain", url, concurrency=CONCURRENCY)
            check_once(facts["ran"], range(jobs))
            book.note("W7", "worker's peak memory, busy", "MiB", facts["peak"] / MIB)
            book.note("W7", "of that, before it began", "MiB", facts["before"] / MIB)
        with bench.place() as url, Child("idle", url, settle=SETTLE, seconds=_idle(bench)) as child:
            child.tell()
            facts = child.result()
        share = book.note("W7", "idle worker, share of a core", "%", facts["share"] * 100)
        book.at_most(share, 1.0)
        what = f"idle worker, {bench.store.operation}"
        book.note("W7", what, "a minute", facts["operations"] * 60)
        book.note("W7", "worker's peak memory, idle", "MiB", facts["peak"] / MIB)


def _idle(bench: Bench) -> float:
    return bench.sizes.idle_seconds
