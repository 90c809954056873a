"""One entrant on one store, seen from the process that conducts the comparison."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.book import percentile
from benchmarks.children import Child, Facts
from benchmarks.peers import tally
from benchmarks.peers.environment import Command
from benchmarks.stores import Store

PATIENCE: Final = 60.0
"""Seconds without progress after which an entrant has failed."""

GRACE: Final = 0.5
"""Seconds in which workers may run what has run already, before they are killed."""

LOOK_EACH: Final = 0.01
CALLERS: Final = 50
BULK: Final = 1_000
FAR: Final = 1_000_000
"""The number of the job that wakes a worker before its times to start are taken."""


class EntrantFailed(Exception):
    """An entrant did not do what it was asked for."""


class Drained(NamedTuple):
    """What a drain showed: the rate, and the proof."""

    rate: float
    jobs: int
    twice: int
    never: int
    bytes: float


class PeerChild(Child):
    """A process in an entrant's environment, with all processes that it starts."""

    def __init__(
        self, entrant: Entrant, role: str, url: str, tally_file: Path, **options: object
    ) -> None:
        self._log = tally_file.with_suffix(f".{role}.log")
        with self._log.open("ab") as log:
            self._start(
                role,
                [
                    *entrant.command,
                    *(entrant.store.scheme, entrant.name, role, url, json.dumps(options)),
                ],
                stderr=log,
                process_group=0,
                env={**os.environ, tally.VARIABLE: str(tally_file)},
            )

    def _read(self) -> Facts:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], 4 * PATIENCE)[0]:
            raise EntrantFailed(f"{self._role}: no answer for {4 * PATIENCE:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise EntrantFailed(f"{self._role}: {self.said()}")
        facts: Facts = json.loads(line)
        return facts

    def said(self) -> str:
        """Return the last line of what it wrote to standard error."""
        lines = self._log.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else "it ended and said nothing"

    @property
    def is_running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def __exit__(self, *_: object) -> None:
        """Kill it and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@dataclass(slots=True)
class Entrant:
    """jobyard or a peer, in its environment."""

    name: str
    store: type[Store]
    command: Command
    """What starts a process in its environment."""

    folder: Path
    facts: Facts
    choice: str = ""
    """How its worker is run: the fastest of its choices."""

    _places: int = 0

    def add(self, ways: Mapping[str, int]) -> dict[str, float]:
        """Add in several ways; return the jobs a second of each."""
        with self._place() as (url, file):
            facts = self._do("add", url, file, ways=ways, callers=CALLERS, bulk=BULK)
        seconds: dict[str, float] = facts["seconds"]
        return {way: jobs / seconds[way] for way, jobs in ways.items()}

    def drain(self, jobs: int, workers: int, choice: str) -> Drained:
        """Drain waiting jobs with so many worker processes."""
        with self._place() as (url, file):
            empty = self.store.weigh(url)
            self._do("fill", url, file, jobs=jobs, bulk=BULK)
            weight = (self.store.weigh(url) - empty) / jobs
            with self._workers(url, file, workers, choice) as children:
                self._wait(file, jobs, children)
                time.sleep(GRACE)
            runs = tally.read(file)
        counts = Counter(run.number for run in runs)
        twice = sum(1 for times in counts.values() if times > 1)
        never = jobs - len(counts)
        return Drained(rate_of([run.at for run in runs]), jobs, twice, never, weight)

    def start(self, jobs: int, pause: float, percents: Sequence[int]) -> dict[int, float]:
        """Return percentiles of the milliseconds from an add to its start by an idle worker."""
        with self._place() as (url, file), self._workers(url, file, 1, self.choice) as children:
            self._do("call", url, file, first=FAR, jobs=1, pause=0)
            self._wait(file, 1, children)
            called = dict(self._do("call", url, file, first=0, jobs=jobs, pause=pause)["called"])
            self._wait(file, jobs + 1, children)
            runs = [run for run in tally.read(file) if run.number != FAR]
        if sorted(run.number for run in runs) != list(range(jobs)):
            raise EntrantFailed(f"{jobs} jobs were to run once each, {len(runs)} runs were seen")
        delays = [(run.at - called[run.number]) / 1e6 for run in runs]
        return {percent: percentile(delays, percent) for percent in percents}

    def _child(self, role: str, url: str, file: Path, **options: object) -> PeerChild:
        return PeerChild(self, role, url, file, **options)

    def _do(self, role: str, url: str, file: Path, **options: object) -> Facts:
        with self._child(role, url, file, **options) as child:
            child.tell()
            return child.result()

    @contextmanager
    def _place(self) -> Iterator[tuple[str, Path]]:
        """Give the address of an empty place made ready, and a file for the tally."""
        self._places += 1
        name = f"{self.name}{self._places}"
        file = self.folder / f"{self.store.scheme}-{name}.tally"
        url = self.store.fresh(self.folder, name)
        try:
            address = self.store.address(url)
            self._do("prepare", address, file)
            yield address, file
        finally:
            self.store.clear(url)

    @contextmanager
    def _workers(
        self, url: str, file: Path, count: int, choice: str
    ) -> Iterator[Sequence[PeerChild]]:
        with ExitStack() as stack:
            children = [self._child("work", url, file, choice=choice) for _ in range(count)]
            for child in children:
                stack.push(child)
            for child in children:
                child.wait_ready()
            for child in children:
                child.tell()
            yield children

    def _wait(self, file: Path, runs: int, children: Sequence[PeerChild]) -> None:
        """Wait until so many runs are in the tally."""
        seen, since = -1, time.monotonic()
        while (now_seen := tally.count(file)) < runs:
            if now_seen != seen:
                seen, since = now_seen, time.monotonic()
            ended = [child for child in children if not child.is_running]
            if ended:
                raise EntrantFailed(f"a worker ended after {seen} runs: {ended[0].said()}")
            if time.monotonic() - since > PATIENCE:
                raise EntrantFailed(f"{seen} of {runs} runs, then none for {PATIENCE:.0f} s")
            time.sleep(LOOK_EACH)


def rate_of(starts: Sequence[int]) -> float:
    """Return the starts a second, from nanoseconds.

    The clock begins at the longest pause in the first quarter of them. Thus starting a worker does
    not count, and one that takes jobs by the hundred is not measured from the middle of a batch.
    """
    times = sorted(starts)
    before = max(range(max(len(times) // 4, 1)), key=lambda at: times[at + 1] - times[at])
    return (len(times) - 1 - before) / (times[-1] - times[before]) * 1e9


def describe(name: str, store: type[Store], command: Command, folder: Path) -> Entrant:
    """Start an entrant for the first time, to tell its versions and settings."""
    entrant = Entrant(name, store, command, folder, {})
    child = PeerChild(entrant, "describe", "", folder / f"{store.scheme}-{name}.tally")
    with contextlib.closing(ExitStack()) as stack:
        stack.push(child)
        entrant.facts = child.wait_ready()
    entrant.choice = entrant.facts["choices"][0]
    return entrant


def choose(entrant: Entrant, jobs: int, say: Callable[[str], None]) -> dict[str, float]:
    """Try an entrant's choices on a part of the work; let it keep the fastest."""
    rates = {}
    choices = entrant.facts["choices"]
    for choice in choices if len(choices) > 1 else ():
        say(f"{entrant.name}: trying {choice}")
        rates[choice] = entrant.drain(jobs, 1, choice).rate
    if rates:
        entrant.choice = max(rates, key=lambda choice: rates[choice])
    return rates
