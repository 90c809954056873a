"""W4: processing what waits, layer by layer."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from benchmarks.bench import Bench, check_once
from benchmarks.book import Figure
from benchmarks.children import measure, measure_together
from benchmarks.jobs import fill


class Drained(NamedTuple):
    """One drain: its rate, and the processor time that a job took."""

    rate: Figure
    cpu: Figure

    @property
    def latest(self) -> float:
        """The rate of the latest round."""
        return self.rate.values[-1]


def w4(bench: Bench) -> None:
    """Drain waiting jobs: by hand, through the backend, with a worker, with two."""
    book, sizes = bench.book, bench.sizes
    for _ in bench.rounds("W4"):
        raws = [_alone(bench, "raw_drain", "raw loop", batch) for batch in sizes.batches]
        workers = [_workers(bench, 1, concurrency) for concurrency in sizes.concurrencies]
        backends = [
            _alone(bench, "backend_drain", "backend alone", batch) for batch in sizes.batches
        ]
        pairs = [_workers(bench, 2, concurrency) for concurrency in sizes.concurrencies]
        raw = raws[0]
        book.ratio("W4", "backend / raw loop", backends[0].rate, raw.rate)
        book.ratio("W4", "backend / raw loop, by processor time", raw.cpu, backends[0].cpu)
        for batch, its in zip(sizes.batches, raws, strict=True):
            mine = workers[sizes.concurrencies.index(batch)]
            book.ratio(
                "W4", f"worker at {batch:,} / raw loop, batch {batch:,}", mine.rate, its.rate
            )
        best = max(workers, key=lambda drained: drained.latest)
        fastest = max(raws, key=lambda drained: drained.latest)
        ratio = book.ratio("W4", "best worker / best raw loop", best.rate, fastest.rate)
        book.at_least(ratio, bench.store.targets.drain)
        book.ratio("W4", "best worker / best raw loop, by processor time", fastest.cpu, best.cpu)
        best_pair = max(pairs, key=lambda drained: drained.latest)
        book.ratio("W4", "best two workers / best worker", best_pair.rate, best.rate)


def _note(bench: Bench, name: str, seconds: float, cpu: float) -> Drained:
    jobs, book = bench.sizes.drain, bench.book
    rate = book.rate("W4", name, jobs, seconds)
    return Drained(rate, book.note("W4", f"  processor time, {name}", "µs/job", cpu / jobs * 1e6))


def _alone(bench: Bench, role: str, name: str, batch: int) -> Drained:
    jobs = bench.sizes.drain
    with bench.place() as url:
        asyncio.run(fill(url, range(jobs)))
        facts = measure(role, url, batch=batch)
    check_once(facts["ran"], range(jobs))
    return _note(bench, f"{name}, batch {batch:,}", facts["seconds"], facts["cpu"])


def _workers(bench: Bench, count: int, concurrency: int) -> Drained:
    jobs = bench.sizes.drain
    with bench.place() as url:
        asyncio.run(fill(url, range(jobs)))
        answers = measure_together("drain", url, count, concurrency=concurrency)
    check_once([number for facts in answers for number in facts["ran"]], range(jobs))
    began = min(facts["began"] for facts in answers)
    ended = max(facts["ended"] for facts in answers)
    noun = "worker" if count == 1 else "workers"
    name = f"{count} {noun}, concurrency {concurrency:,}"
    cpu = sum(facts["cpu"] for facts in answers)
    return _note(bench, name, (ended - began) / 1e9, cpu)
