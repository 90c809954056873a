"""SCALE: the rate against the number of worker processes, and against how many jobs wait."""

from __future__ import annotations

import asyncio
from typing import Final

from benchmarks.bench import Bench, check_no_twice, check_once
from benchmarks.book import Figure
from benchmarks.children import measure, measure_together
from benchmarks.jobs import fill

CONCURRENCY: Final = 200


def scale(bench: Bench) -> None:
    """Drain with more and more workers; then add and drain with more and more jobs waiting."""
    for _ in bench.rounds("SCALE"):
        _processes(bench)
    for depth in bench.sizes.depths:
        _depth(bench, depth)
    book, depths = bench.book, bench.sizes.depths
    for what in ("add one at a time", "drain"):
        rates = [book.find("SCALE", f"{what}, {depth:,} waiting") for depth in depths]
        for depth, rate in zip(depths[1:], rates[1:], strict=True):
            name = f"{what}, {depth:,} waiting / {depths[0]:,}"
            for mine, its in zip(rate.values, rates[0].values, strict=True):
                ratio = book.note("SCALE", name, "times", mine / its)
                book.at_least(ratio, 0.8)


def _processes(bench: Bench) -> None:
    jobs, book = bench.sizes.drain, bench.book
    first: Figure | None = None
    for count in bench.sizes.workers:
        with bench.place() as url:
            asyncio.run(fill(url, range(jobs)))
            answers = measure_together("drain", url, count, concurrency=CONCURRENCY)
        check_once([number for facts in answers for number in facts["ran"]], range(jobs))
        began = min(facts["began"] for facts in answers)
        ended = max(facts["ended"] for facts in answers)
        name = f"drain, worker processes: {count}"
        rate = book.rate("SCALE", name, jobs, (ended - began) / 1e9)
        if first is None:
            first = rate
        else:
            book.ratio("SCALE", f"{name} / one", rate, first)


def _depth(bench: Bench, depth: int) -> None:
    """Add and drain as many as before in a queue in which so many wait."""
    sizes, book = bench.sizes, bench.book
    with bench.place() as url:
        asyncio.run(fill(url, range(-depth, 0)))
        bench.store.wait_for_chores(url)
        for turn in bench.rounds(f"SCALE, {depth:,} waiting"):
            numbers = range(turn * sizes.depth_drain, (turn + 1) * sizes.depth_drain)
            facts = measure("add_one", url, first=numbers.start, jobs=sizes.depth_add)
            name = f"add one at a time, {depth:,} waiting"
            book.rate("SCALE", name, sizes.depth_add, facts["seconds"])
            asyncio.run(fill(url, numbers[sizes.depth_add :]))
            facts = measure("drain_some", url, jobs=len(numbers), concurrency=CONCURRENCY)
            check_no_twice(facts["ran"], len(numbers))
            book.rate("SCALE", f"drain, {depth:,} waiting", len(numbers), facts["seconds"])
