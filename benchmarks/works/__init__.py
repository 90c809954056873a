"""The works: each measures one kind of load on a store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks.bench import Bench
from benchmarks.works.adding import w1, w2, w3
from benchmarks.works.depth import w6
from benchmarks.works.draining import w4
from benchmarks.works.footprint import w7
from benchmarks.works.mixed import w8
from benchmarks.works.scaling import scale
from benchmarks.works.starting import begin
from benchmarks.works.waiting import w5

__all__ = ["WORKS"]

WORKS: Final[dict[str, Callable[[Bench], None]]] = {
    "W1": w1,
    "W2": w2,
    "W3": w3,
    "W4": w4,
    "W5": w5,
    "W6": w6,
    "W7": w7,
    "W8": w8,
    "BEGIN": begin,
    "SCALE": scale,
}
