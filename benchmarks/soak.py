"""The soak: `python -m benchmarks soak [--store redis] [--minutes 30] [--rate 300]`.

One process adds jobs at a steady rate and works them off, with records of finished jobs kept for a
short time only. Its memory, the size of the store and the times to start have to stay flat, and
every job has to run exactly once.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import tempfile
from pathlib import Path
from typing import Final, Literal, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.bench import WrongRun
from benchmarks.children import ROOT, Child
from benchmarks.stores import STORES

Sampled = Literal["memory", "store", "p99"]

MIB: Final = 1024 * 1024
WARM_UP: Final = 0.25
"""The part of the windows in which memory and store may still grow: caches, the first records."""

GROWTH: Final[dict[Sampled, float]] = {"memory": 1.10, "store": 1.25, "p99": 2.0}
"""How many times the median of the windows after the warm-up the median of the last may be."""


class Window(NamedTuple):
    """What was seen in one stretch of time."""

    seconds: float
    jobs: int
    p50: float
    p99: float
    memory: float
    store: float


def read_arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks soak",
        description="Run steadily for long, and see that nothing grows.",
    )
    parser.add_argument("--store", choices=sorted(STORES), default="sqlite")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=int, default=300, help="jobs a second")
    parser.add_argument("--window", type=float, default=10.0, help="seconds between looks")
    parser.add_argument("--keep", type=float, default=20.0, help="seconds that records are kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the result")
    return parser.parse_args(words)


def drift(windows: list[Window], what: Sampled) -> float:
    """Compare the last third of the windows after the warm-up with the first third of those."""
    values: list[float] = [
        getattr(window, what) for window in windows[int(len(windows) * WARM_UP) :]
    ]
    third = max(len(values) // 3, 1)
    return statistics.median(values[-third:]) / max(statistics.median(values[:third]), 1e-9)


def watch(arguments: argparse.Namespace, url: str, console: Console) -> list[Window]:
    """Run the process, and look at it once a window."""
    store = STORES[arguments.store]
    windows: list[Window] = []
    count = max(int(arguments.minutes * 60 / arguments.window), 4)
    with Child(
        "soak",
        url,
        windows=count,
        window=arguments.window,
        rate=arguments.rate,
        keep=arguments.keep,
    ) as child:
        child.tell()
        for number in range(count):
            facts = child.wait_ready()
            window = Window(store=store.weigh(url) / MIB, **facts)
            windows.append(window)
            console.print(
                f"{number + 1}/{count}: {window.jobs} jobs, p50 {window.p50:.2f} ms, "
                f"p99 {window.p99:.2f} ms, {window.memory:.1f} MiB, store {window.store:.2f} MiB"
            )
        facts = child.result()
    if facts["wrong"]:
        raise WrongRun(f"of {facts['jobs']} jobs {facts['wrong']} did not run exactly once")
    return windows


def main(words: list[str]) -> int:
    """Soak; answer 1 if something grew."""
    arguments = read_arguments(words)
    store = STORES[arguments.store]
    console = Console(stderr=True)
    shape = machine.describe()
    with tempfile.TemporaryDirectory(prefix="jobyard-") as folder:
        url = store.fresh(Path(folder), "soak")
        about = store.describe()
        windows = watch(arguments, url, console)
        store.discard(url)
    drifts = {what: drift(windows, what) for what in GROWTH}
    table = Table(title=f"Soak on {about['product']}: {sum(w.jobs for w in windows):,} jobs once")
    for heading in ("", "first window", "last window", "drift", "allowed"):
        table.add_column(heading, justify="right")
    for what, most in GROWTH.items():
        first, last = getattr(windows[0], what), getattr(windows[-1], what)
        table.add_row(what, f"{first:.2f}", f"{last:.2f}", f"{drifts[what]:.2f}", f"≤ {most}")
    Console().print(table)
    told = {
        "command": shlex.join(["python", "-m", "benchmarks", "soak", *words]),
        "machine": shape,
        "store": about,
        "drift": drifts,
        "windows": [window._asdict() for window in windows],
    }
    path = arguments.json or ROOT / "benchmarks" / "results" / f"soak-{store.scheme}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(any(drifts[what] > most for what, most in GROWTH.items()))
