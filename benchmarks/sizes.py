"""How much each work does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The numbers of jobs and rounds of a run of the benchmarks."""

    name: str
    rounds: int
    add_one: int
    add_together: int
    add_bulk: int
    bulk: int
    drain: int
    concurrencies: tuple[int, ...]
    batches: tuple[int, ...]
    latency_rounds: int
    latency_jobs: int
    latency_pause: float
    depth: int
    depth_add: int
    depth_drain: int
    weighed: int
    idle_seconds: float
    mixed: int
    begins: int
    workers: tuple[int, ...]
    depths: tuple[int, ...]


FULL: Final = Sizes(
    name="full",
    rounds=3,
    add_one=5_000,
    add_together=10_000,
    add_bulk=20_000,
    bulk=1_000,
    drain=20_000,
    concurrencies=(100, 200, 500, 1_000),
    batches=(200, 1_000),
    latency_rounds=3,
    latency_jobs=200,
    latency_pause=0.05,
    depth=1_000_000,
    depth_add=3_000,
    depth_drain=20_000,
    weighed=100_000,
    idle_seconds=10.0,
    mixed=20_000,
    begins=5,
    workers=(1, 2, 4),
    depths=(0, 10_000, 1_000_000),
)

QUICK: Final = Sizes(
    name="quick",
    rounds=3,
    add_one=1_000,
    add_together=5_000,
    add_bulk=20_000,
    bulk=1_000,
    drain=10_000,
    concurrencies=(200, 1_000),
    batches=(200,),
    latency_rounds=1,
    latency_jobs=60,
    latency_pause=0.05,
    depth=100_000,
    depth_add=500,
    depth_drain=10_000,
    weighed=20_000,
    idle_seconds=4.0,
    mixed=10_000,
    begins=3,
    workers=(1, 2, 4),
    depths=(0, 10_000, 100_000),
)

TINY: Final = Sizes(
    name="tiny",
    rounds=1,
    add_one=20,
    add_together=100,
    add_bulk=200,
    bulk=100,
    drain=200,
    concurrencies=(50,),
    batches=(50,),
    latency_rounds=1,
    latency_jobs=5,
    latency_pause=0.01,
    depth=300,
    depth_add=10,
    depth_drain=100,
    weighed=500,
    idle_seconds=0.2,
    mixed=200,
    begins=1,
    workers=(1, 2),
    depths=(0, 200),
)

SIZES: Final = {sizes.name: sizes for sizes in (FULL, QUICK, TINY)}
