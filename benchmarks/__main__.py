"""The command: `python -m benchmarks [--quick] [--only W4,W6]`, or `compare`, or `soak`."""

from __future__ import annotations

import argparse
import datetime as dt
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks import compare, machine, report, soak
from benchmarks.bench import Bench
from benchmarks.children import ROOT
from benchmarks.sizes import FULL, QUICK, SIZES
from benchmarks.stores import STORES
from benchmarks.works import WORKS

LEAST_WIDTH: Final = 124

OTHERS: Final = {"compare": compare.main, "soak": soak.main}
"""The first word that runs something else than the works."""


def read_arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure jobyard, the store alone beside it.",
        epilog="Also: python -m benchmarks compare --help, python -m benchmarks soak --help.",
    )
    parser.add_argument("--store", choices=sorted(STORES), default="sqlite")
    parser.add_argument("--quick", action="store_true", help="about a minute; rough figures")
    parser.add_argument("--size", choices=sorted(SIZES), help="how much; --quick is --size quick")
    parser.add_argument(
        "--only", metavar="W1,W2", type=_works, default=list(WORKS), help="some of the works"
    )
    parser.add_argument(
        "--depths", type=_numbers, metavar="N,M", help="how many jobs wait, for SCALE"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="this many rounds")
    parser.add_argument("--folder", type=Path, help="measure on the disk of this folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the result")
    return parser.parse_args(words)


def _works(text: str) -> list[str]:
    works = [work.strip().upper() for work in text.split(",")]
    unknown = [work for work in works if work not in WORKS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"there is no work {', '.join(unknown)}; there are {', '.join(WORKS)}"
        )
    return works


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def main(words: list[str]) -> int:
    """Run the works asked for; answer 1 if one missed what is required of it."""
    if words and words[0] in OTHERS:
        return OTHERS[words[0]](words[1:])
    arguments = read_arguments(words)
    sizes = SIZES[arguments.size] if arguments.size else QUICK if arguments.quick else FULL
    if arguments.rounds:
        sizes = replace(sizes, rounds=arguments.rounds)
    if arguments.depths:
        sizes = replace(sizes, depths=arguments.depths)
    console = Console()
    console.width = max(console.width, LEAST_WIDTH)
    store = STORES[arguments.store]
    facts: dict[str, object] = {
        "command": shlex.join(
            ["python", "-m", "benchmarks"]
            + [Path(word).name if word == str(arguments.json) else word for word in words]
        ),
        "began": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "store": store.describe(),
        "sizes": {name: getattr(sizes, name) for name in sizes.__slots__},
    }
    with (
        tempfile.TemporaryDirectory(prefix="jobyard-", dir=arguments.folder) as folder,
        console.status("") as status,
    ):
        bench = Bench(store, Path(folder), sizes, status.update)
        for work in arguments.only:
            WORKS[work](bench)
    report.show(bench.book, f"jobyard on {store.describe()['product']}, {sizes.name}", console)
    path = arguments.json or ROOT / "benchmarks" / "results" / f"{store.scheme}-{sizes.name}.json"
    report.write(path, bench.book, facts)
    console.print(f"written to {path}")
    bounds = [bench.book.bound(figure) for figure in bench.book.figures]
    return int(any(bound is not None and not bound.is_kept for bound in bounds))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
