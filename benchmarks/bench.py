"""A run of the benchmarks: where it measures, how much, and what it has found."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.book import Book
from benchmarks.sizes import Sizes
from benchmarks.stores import Store


class WrongRun(Exception):
    """Jobs did not run exactly once: the figure would be worth nothing."""


class Bench:
    """What the works share."""

    def __init__(
        self, store: type[Store], folder: Path, sizes: Sizes, say: Callable[[str], None]
    ) -> None:
        self.store = store
        self.sizes = sizes
        self.book = Book()
        self._folder = folder
        self._say = say
        self._places = itertools.count(1)

    def rounds(self, work: str, count: int | None = None) -> Iterator[int]:
        """Count the rounds of a work, telling each."""
        total = count or self.sizes.rounds
        for number in range(total):
            self._say(f"{work}: round {number + 1} of {total}")
            yield number

    @contextmanager
    def place(self) -> Iterator[str]:
        """Give the URL of an empty place, removed afterwards."""
        url = self.store.fresh(self._folder, f"place{next(self._places)}")
        try:
            yield url
        finally:
            self.store.discard(url)


def check_once(ran: Sequence[int], expected: Sequence[int]) -> None:
    """Raise unless exactly the expected jobs ran, each once."""
    if sorted(ran) != list(expected):
        raise WrongRun(f"{len(expected)} jobs were to run once each, {len(ran)} runs were seen")


def check_no_twice(ran: Sequence[int], least: int) -> None:
    """Raise if a job ran twice, or fewer ran than were asked for."""
    if len(set(ran)) != len(ran) or len(ran) < least:
        raise WrongRun(f"{len(ran)} runs of {len(set(ran))} jobs were seen, {least} were asked for")
