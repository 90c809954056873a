"""The comparison: `python -m benchmarks compare [--quick] [--store redis] [--only W1,W4]`."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks import machine
from benchmarks.bench import check_once
from benchmarks.book import percentile
from benchmarks.children import ROOT, measure
from benchmarks.jobs import fill
from benchmarks.peers import entrant as entrants
from benchmarks.peers.catalogue import OURS, PEERS
from benchmarks.peers.entrant import Entrant, EntrantFailed
from benchmarks.peers.environment import NotInstalled, command_of
from benchmarks.peers.result import Result, commit
from benchmarks.stores import STORES, Store

RAW: Final = "raw"
RAW_BATCHES: Final = (200, 1_000)
WORKS: Final = ("W1", "W2", "W3", "W4", "W5")
PERCENTS: Final = (50, 95, 99)
ADDING: Final = {"W1": "one", "W2": "together", "W3": "bulk"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of each work is done."""

    name: str
    rounds: int
    add_one: int
    add_together: int
    add_bulk: int
    drain: float
    """The part of its own number of jobs that each entrant drains."""
    start: int
    start_pause: float


SIZES: Final = {
    sizes.name: sizes
    for sizes in (
        Sizes(
            name="full",
            rounds=3,
            add_one=3_000,
            add_together=6_000,
            add_bulk=20_000,
            drain=1.0,
            start=60,
            start_pause=0.03,
        ),
        Sizes(
            name="quick",
            rounds=3,
            add_one=1_000,
            add_together=3_000,
            add_bulk=10_000,
            drain=0.4,
            start=40,
            start_pause=0.03,
        ),
        Sizes(
            name="tiny",
            rounds=1,
            add_one=20,
            add_together=100,
            add_bulk=100,
            drain=0.01,
            start=5,
            start_pause=0.01,
        ),
    )
}


def read_arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks compare",
        description="Measure jobyard, the store alone and other job queues side by side.",
    )
    parser.add_argument("--quick", action="store_true", help="some minutes; rough figures")
    parser.add_argument("--size", choices=sorted(SIZES), default="full", help="how much")
    parser.add_argument("--store", type=_some(tuple(PEERS)), default=list(PEERS), metavar="A,B")
    parser.add_argument("--only", type=_some(WORKS), default=list(WORKS), metavar="W1,W4")
    names = tuple(dict.fromkeys((OURS, RAW, *(name for some in PEERS.values() for name in some))))
    parser.add_argument("--entrants", type=_some(names), default=list(names), metavar="A,B")
    parser.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help="this many rounds; 0 only chooses how workers are run",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the result")
    parser.add_argument(
        "--append", action="store_true", help="add these rounds to those in the file"
    )
    return parser.parse_args(words)


def _some(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        asked = {word.strip().lower() for word in text.split(",")}
        unknown = asked - {word.lower() for word in known}
        if unknown:
            there = ", ".join(known)
            raise argparse.ArgumentTypeError(f"no {', '.join(sorted(unknown))}; there are {there}")
        return [word for word in known if word.lower() in asked]

    return read


class Course:
    """The works of one comparison, on each entrant in turn."""

    def __init__(
        self, result: Result, sizes: Sizes, folder: Path, say: Callable[[str], None]
    ) -> None:
        self._result = result
        self._sizes = sizes
        self._folder = folder
        self._say = say
        self._places = 0

    def gather(self, store: type[Store], names: list[str]) -> list[Entrant]:
        """Install and describe the entrants of a store; note those that cannot be."""
        found = []
        known = self._result.told["entrants"].setdefault(store.scheme, {})
        for name in (OURS, *PEERS[store.scheme]):
            if name not in names:
                continue
            self._say(f"{store.scheme}: {name}")
            try:
                entrant = entrants.describe(name, store, command_of(name), self._folder)
            except NotInstalled as error:
                self._result.fail(store.scheme, name, "install", str(error))
                continue
            except EntrantFailed as error:
                self._result.fail(store.scheme, name, "start", str(error))
                continue
            told = known.setdefault(name, entrant.facts)
            entrant.choice = told.get("choice", entrant.choice)
            found.append(entrant)
        return found

    def choose(self, entrant: Entrant) -> None:
        """Find the fastest way to run an entrant's worker, once for a result."""
        told = self._result.told["entrants"][entrant.store.scheme][entrant.name]
        if "choice" in told:
            return
        jobs = max(self._jobs(entrant) // 4, 50)
        with self._trying(entrant, "W4"):
            told["tried"] = entrants.choose(entrant, jobs, self._say)
        told["choice"] = entrant.choice

    def adding(self, entrant: Entrant, works: list[str]) -> None:
        """W1 to W3."""
        sizes = self._sizes
        jobs = {"W1": sizes.add_one, "W2": sizes.add_together, "W3": sizes.add_bulk}
        ways = {
            ADDING[work]: jobs[work]
            for work in works
            if work in ADDING and (work != "W3" or entrant.facts["bulk"])
        }
        if not ways:
            return
        with self._trying(entrant, "W1"):
            rates = entrant.add(ways)
            for work, way in ADDING.items():
                if way in rates:
                    self._note(entrant, work, "jobs/s", rates[way])

    def draining(self, entrant: Entrant, workers: int) -> None:
        """W4, and the bytes of W7 by the way."""
        work = "W4" if workers == 1 else f"W4 x{workers}"
        with self._trying(entrant, work):
            drained = entrant.drain(self._jobs(entrant), workers, entrant.choice)
            figure = self._note(entrant, work, "jobs/s", drained.rate)
            self._result.prove(figure, drained.jobs, drained.twice, drained.never)
            if workers == 1:
                self._note(entrant, "W7", "bytes", drained.bytes)

    def starting(self, entrant: Entrant) -> None:
        """W5."""
        with self._trying(entrant, "W5"):
            delays = entrant.start(self._sizes.start, self._sizes.start_pause, PERCENTS)
            for percent, delay in delays.items():
                self._note(entrant, f"W5 p{percent}", "ms", delay)

    def raw(self, store: type[Store], works: list[str]) -> None:
        """The store alone: W1 by the driver, W4 and W5 by a loop written by hand."""
        note = self._result.note
        if "W1" in works:
            url = self._fresh(store)
            facts = measure("raw_add", url, jobs=self._sizes.add_one, awaited=False)
            store.clear(url)
            note(store.scheme, "W1", RAW, "jobs/s", self._sizes.add_one / facts["seconds"])
        if "W4" in works:
            jobs = max(int(60_000 * self._sizes.drain), 100)
            rates = {}
            for batch in RAW_BATCHES:
                url = self._fresh(store)
                asyncio.run(fill(url, range(jobs)))
                facts = measure("raw_drain", url, batch=batch)
                store.clear(url)
                check_once(facts["ran"], range(jobs))
                rates[batch] = jobs / facts["seconds"]
            figure = note(store.scheme, "W4", RAW, "jobs/s", max(rates.values()))
            self._result.prove(figure, jobs, 0, 0)
        if "W5" in works:
            url = self._fresh(store)
            how = {"jobs": self._sizes.start, "pause": self._sizes.start_pause}
            seconds = measure("raw_start", url, **how)["seconds"]
            store.clear(url)
            for percent in PERCENTS:
                delay = percentile(seconds, percent) * 1e3
                note(store.scheme, f"W5 p{percent}", RAW, "ms", delay)

    def _fresh(self, store: type[Store]) -> str:
        self._places += 1
        return store.fresh(self._folder, f"raw{self._places}")

    def _jobs(self, entrant: Entrant) -> int:
        return max(int(entrant.facts["jobs"] * self._sizes.drain), 100)

    def _note(self, entrant: Entrant, work: str, unit: str, value: float) -> dict[str, object]:
        return self._result.note(entrant.store.scheme, work, entrant.name, unit, value)

    def _trying(self, entrant: Entrant, work: str) -> _Trying:
        return _Trying(self._result, entrant, work)


class _Trying:
    """Notes that an entrant failed at a work, and lets the others go on."""

    def __init__(self, result: Result, entrant: Entrant, work: str) -> None:
        self._result, self._entrant, self._work = result, entrant, work

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Note a failure of the entrant's."""
        if not isinstance(error, EntrantFailed):
            return False
        self._result.fail(self._entrant.store.scheme, self._entrant.name, self._work, str(error))
        return True


def turns(names: list[Entrant], number: int) -> Iterator[Entrant]:
    """Give the entrants of a round, each round beginning with another."""
    first = number % max(len(names), 1)
    yield from names[first:] + names[:first]


def run(course: Course, arguments: argparse.Namespace, sizes: Sizes, result: Result) -> None:
    """Run the works asked for, in rounds."""
    works = arguments.only
    field: list[tuple[type[Store], list[Entrant]]] = []
    for store in (STORES[name] for name in arguments.store):
        result.told["stores"][store.scheme] = store.describe()
        field.append((store, course.gather(store, arguments.entrants)))
        if "W4" in works or "W5" in works:
            for entrant in field[-1][1]:
                course.choose(entrant)
    rounds = sizes.rounds if arguments.rounds is None else arguments.rounds
    begun = len(result.told["slices"])
    for number in range(begun, begun + rounds):
        for store, those in field:
            if RAW in arguments.entrants:
                course.raw(store, works)
            one_round(course, works, list(turns(those, number)))


def one_round(course: Course, works: list[str], those: list[Entrant]) -> None:
    """Let each entrant do each work, one after the other."""
    for entrant in those:
        course.adding(entrant, works)
    for workers in (1, 2) if "W4" in works else ():
        for entrant in those:
            course.draining(entrant, workers)
    for entrant in those if "W5" in works else ():
        course.starting(entrant)


def main(words: list[str]) -> int:
    """Compare; answer 1 if an entrant failed, which the result names."""
    arguments = read_arguments(words)
    sizes = SIZES["quick" if arguments.quick else arguments.size]
    path = arguments.json or ROOT / "benchmarks" / "results" / f"comparison-{sizes.name}.json"
    # Where the file lay says nothing, and may name somebody's folder.
    shown = [path.name if word == str(arguments.json) else word for word in words]
    command = shlex.join(["python", "-m", "benchmarks", "compare", *shown])
    shape = machine.describe()
    del shape["load_before"]
    told = {"commit": commit(), "machine": shape, "sizes": asdict(sizes)}
    result = Result.begin(told, path if arguments.append else None)
    console = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory(prefix="jobyard-") as folder,
        console.status("") as status,
    ):
        course = Course(result, sizes, Path(folder), status.update)
        run(course, arguments, sizes, result)
        fsync_ms = machine.fsync_ms(Path(folder))
    result.write(path, command, fsync_ms)
    print(f"written to {path}")
    return int(bool(result.told["failures"]))
