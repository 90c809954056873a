"""How fast a store is: `python -m jobyard_conformance.bench --jobyard-url URL`.

The loop of a worker at load (claim a batch, settle it with the claim of the next) in batches of
several sizes, on a queue that holds nothing else and on a deep one. What counts are ratios within
one run: to the memory backend beside it, and of the deep queue to the empty one. No figure is a
threshold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from jobyard.backend import Backend
from jobyard.lease import Done
from jobyard_conformance.builders import QUEUE, settlement, spec, want
from jobyard_conformance.harness import UrlHarness

__all__ = ["Figure", "measure"]

BATCHES: Final = (1, 10, 100)
CHUNK: Final = 1_000
DEEP: Final = -50
"""The priority of the jobs that make a queue deep: they are there, and never their turn."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs a second of one operation, in batches, with so many other jobs in the queue."""

    store: str
    operation: str
    batch: int
    depth: int
    rate: float


@asynccontextmanager
async def _store(url: str) -> AsyncIterator[Backend]:
    harness = UrlHarness(url)
    handle = harness.make()
    await handle.open()
    try:
        await handle.prepare()
        yield handle
    finally:
        await handle.close()
        await harness.wipe(harness.namespace)


async def _add(handle: Backend, jobs: int, batch: int, *, priority: int = 0) -> float:
    begun = time.perf_counter()
    for first in range(0, jobs, batch):
        unit = tuple(spec(priority=priority) for _ in range(min(batch, jobs - first)))
        await handle.add([unit])
    return jobs / (time.perf_counter() - begun)


async def _work(handle: Backend, jobs: int, batch: int) -> float:
    """Claim and settle so many jobs, as a worker at load does."""
    begun = time.perf_counter()
    held = (await handle.claim(want(QUEUE, limit=batch, ttl_ms=600_000))).leases
    done = 0
    while done < jobs and held:
        done += len(held)
        limit = min(batch, jobs - done)
        wish = want(QUEUE, limit=limit, ttl_ms=600_000) if limit else None
        answer = await handle.settle([settlement(each, Done()) for each in held], claim=wish)
        held = answer.claimed.leases if answer.claimed else ()
    return done / (time.perf_counter() - begun)


async def measure(url: str, *, jobs: int, depths: Sequence[int]) -> list[Figure]:
    """Measure one store, in a namespace that is wiped afterwards."""
    scheme = url.partition(":")[0]
    figures: list[Figure] = []
    async with _store(url) as handle:
        present = 0
        for depth in depths:
            await _add(handle, depth - present, CHUNK, priority=DEEP)
            present = max(depth, present)
            for batch in BATCHES:
                for operation, run in (("add", _add), ("claim+settle", _work)):
                    rate = await run(handle, jobs, batch)
                    figures.append(
                        Figure(
                            store=scheme, operation=operation, batch=batch, depth=depth, rate=rate
                        )
                    )
    return figures


def _table(figures: Sequence[Figure], beside: Sequence[Figure]) -> list[str]:
    known = {(each.operation, each.batch, each.depth): each.rate for each in beside}
    empty = {(f.operation, f.batch): f.rate for f in figures if f.depth == figures[0].depth}
    lines = [
        f"{'operation':<14}{'batch':>6}{'depth':>9}{'jobs/s':>11}{'to memory':>11}{'to empty':>10}"
    ]
    for each in figures:
        to_memory = each.rate / known[each.operation, each.batch, each.depth]
        to_empty = each.rate / empty[each.operation, each.batch]
        lines.append(
            f"{each.operation:<14}{each.batch:>6}{each.depth:>9}{each.rate:>11.0f}"
            f"{to_memory:>11.3f}{to_empty:>10.2f}"
        )
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Measure the store of a URL beside the memory backend, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m jobyard_conformance.bench")
    parser.add_argument("--jobyard-url", required=True, metavar="URL", help="the store to measure")
    parser.add_argument("--jobs", type=int, default=2_000, help="how many jobs each figure is of")
    parser.add_argument("--depth", type=int, default=100_000, help="how deep the deep queue is")
    parser.add_argument("--json", metavar="FILE", help="also write the figures as JSON")
    options = parser.parse_args(arguments)
    depths = (0, options.depth)
    figures = asyncio.run(measure(options.jobyard_url, jobs=options.jobs, depths=depths))
    beside = asyncio.run(measure("memory://bench", jobs=options.jobs, depths=depths))
    sys.stdout.write("\n".join(_table(figures, beside)) + "\n")
    if options.json is not None:
        content = [msgspec.structs.asdict(each) for each in (*figures, *beside)]
        Path(options.json).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
