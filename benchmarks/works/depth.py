"""W6: the rates of adding and processing in a queue that holds very many other jobs."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Final

from benchmarks.bench import Bench, check_no_twice, check_once
from benchmarks.book import Figure
from benchmarks.children import measure
from benchmarks.jobs import FAR_MS, FOREIGN, NAME, fill

EMPTY: Final = "empty"
KINDS: Final = {
    "waiting": (NAME, 0),
    "delayed": (NAME, FAR_MS),
    "foreign": (FOREIGN, 0),
}
"""The name and the delay of the jobs that fill the queue."""

CONCURRENCY: Final = 200


def w6(bench: Bench) -> None:
    """Add and drain in an empty queue and in full ones, in turns."""
    book, depth = bench.book, bench.sizes.depth
    with ExitStack() as stack:
        places = {EMPTY: stack.enter_context(bench.place())}
        for kind, (name, delay_ms) in KINDS.items():
            places[kind] = url = stack.enter_context(bench.place())
            asyncio.run(fill(url, range(-depth, 0), name=name, delay_ms=delay_ms))
            bench.store.wait_for_chores(url)
        for turn in bench.rounds("W6"):
            adds: dict[str, Figure] = {}
            drains: dict[str, Figure] = {}
            for kind, url in places.items():
                adds[kind], drains[kind] = _add_and_drain(bench, kind, url, turn)
            for kind in KINDS:
                for what, rates in (("add", adds), ("drain", drains)):
                    ratio = book.ratio(
                        "W6", f"{what}, {depth:,} {kind} / empty", rates[kind], rates[EMPTY]
                    )
                    book.at_least(ratio, 0.8)


def _add_and_drain(bench: Bench, kind: str, url: str, turn: int) -> tuple[Figure, Figure]:
    """Add some jobs one by one, the rest in bulk, and process as many as were added."""
    sizes, book = bench.sizes, bench.book
    numbers = range(turn * sizes.depth_drain, (turn + 1) * sizes.depth_drain)
    facts = measure("add_one", url, first=numbers.start, jobs=sizes.depth_add)
    add = book.rate("W6", f"add one at a time, {kind}", sizes.depth_add, facts["seconds"])
    cpu = facts["cpu"] / sizes.depth_add * 1e6
    book.note("W6", f"  processor time, add, {kind}", "µs/job", cpu)
    asyncio.run(fill(url, numbers[sizes.depth_add :]))
    facts = measure("drain_some", url, jobs=len(numbers), concurrency=CONCURRENCY)
    if kind == "waiting":
        check_no_twice(facts["ran"], len(numbers))
    else:
        check_once(facts["ran"], numbers)
    cpu = facts["cpu"] / len(facts["ran"]) * 1e6
    drained = book.rate("W6", f"drain, {kind}", len(numbers), facts["seconds"])
    book.note("W6", f"  processor time, drain, {kind}", "µs/job", cpu)
    return add, drained
