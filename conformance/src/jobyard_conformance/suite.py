"""The suite: one class to subclass, one fixture to provide."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from jobyard.backend import Backend, Capability
from jobyard.clock import ManualClock
from jobyard.plugins import check_contract
from jobyard_conformance.again import command_for
from jobyard_conformance.chapter import NOT_CLAIMED, Chapter
from jobyard_conformance.chapters import CHAPTERS
from jobyard_conformance.clauses import cited, read_clauses, spanned
from jobyard_conformance.harness import Harness
from jobyard_conformance.racing import SEEDS, Race
from jobyard_conformance.yard import Yard

__all__ = ["SUITE_TESTS", "YARD", "ConformanceSuite", "Fixtures"]

YARD = pytest.StashKey[Yard]()

CITING: Final = frozenset({"clause", "spans"})
"""The marks that say which part of the contract a test is about."""


class Fixtures(Chapter):
    """The fixtures that tests of a suite can ask for."""

    @pytest.fixture
    def harness(self) -> Harness:
        """Say how to reach the store: the one fixture that an author provides."""
        msg = f"{type(self).__name__} has no `harness` fixture: define one that returns a Harness"
        raise NotImplementedError(msg)

    @pytest.fixture
    def jobyard_runner(self) -> Iterator[asyncio.Runner]:
        """Give the event loop of the test."""
        with asyncio.Runner() as runner:
            yield runner

    @pytest.fixture
    def yard(
        self, request: pytest.FixtureRequest, harness: Harness, jobyard_runner: asyncio.Runner
    ) -> Iterator[Yard]:
        """Give a prepared yard with one open handle and a clock that stands still."""
        node: pytest.Item = request.node
        note_backend(node, harness)
        check_contract(type(harness.make()))
        if missing := not_claimed(node, harness):
            pytest.skip(NOT_CLAIMED + missing)
        yard = Yard(harness)
        node.stash[YARD] = yard
        try:
            jobyard_runner.run(yard.open())
            yield yard
        finally:
            jobyard_runner.run(yard.close())

    @pytest.fixture
    def backend(self, yard: Yard) -> Backend:
        """Give an open, prepared handle."""
        return yard.backend

    @pytest.fixture
    def clock(self, yard: Yard) -> ManualClock:
        """Give the clock that the handles run on."""
        return yard.clock

    @pytest.fixture
    def race(self, request: pytest.FixtureRequest, tmp_path: Path, race_seed: int) -> Race:
        """Give a place for the histories of a race, with its seed."""
        return Race(tmp_path, seed=race_seed, command=command_for(request, seed=race_seed))

    @pytest.fixture
    def single_race(self, request: pytest.FixtureRequest, tmp_path: Path) -> Race:
        """Give a place for the histories of a race that is run once, since it takes long."""
        given: int | None = request.config.getoption("jobyard_seed")
        seed = SEEDS[0] if given is None else given
        return Race(tmp_path, seed=seed, command=command_for(request, seed=seed))

    @pytest.fixture
    def another(self, yard: Yard) -> Callable[[], Awaitable[Backend]]:
        """Give a way to open further handles on the same yard."""
        return yard.another


class ConformanceSuite(Fixtures, *CHAPTERS):  # type: ignore[misc]
    """Every chapter of the contract; subclass it as `TestSomething` and define `harness`.

    A test of the suite cannot be dropped in silence: a subclass that overrides one has to mark it
    `xfail(strict=True, reason=…)`.
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Refuse a suite that quietly leaves a test out, or puts another in its place."""
        super().__init_subclass__(**kwargs)
        for name, test in SUITE_TESTS.items():
            member = getattr(cls, name, None)
            if member is test:
                continue
            marks: list[pytest.Mark] = getattr(member, "pytestmark", [])
            if not any(_owns_up(mark) for mark in marks):
                msg = (
                    f"{cls.__name__}.{name} overrides a test of the suite: mark it "
                    "xfail(strict=True, reason=…), or let it be"
                )
                raise TypeError(msg)
            if not cited(member) and not spanned(member):  # it stands for the one it overrides
                marks += [each for each in vars(test)["pytestmark"] if each.name in CITING]
                vars(member)["jobyard_chapter"] = vars(test)["jobyard_chapter"]


SUITE_TESTS: Final[Mapping[str, object]] = MappingProxyType(
    {
        name: member
        for chapter in CHAPTERS
        for name, member in vars(chapter).items()
        if name.startswith("test")
    }
)
"""Every test of the suite, as it was written."""


def _owns_up(mark: pytest.Mark) -> bool:
    return mark.name == "xfail" and bool(mark.kwargs.get("strict") and mark.kwargs.get("reason"))


def note_backend(node: pytest.Item, harness: Harness) -> None:
    """Write what is under test into the node's report."""
    backend = type(harness.make())
    node.user_properties += [
        ("jobyard_backend", f"{backend.__module__}.{backend.__qualname__}"),
        ("jobyard_contract", ".".join(map(str, backend.contract))),
        ("jobyard_capabilities", [str(flag.name) for flag in backend.capabilities]),
    ]


def not_claimed(node: pytest.Item, harness: Harness) -> str:
    """Tell what a test needs that the backend does not declare; empty when it applies."""
    test: object = getattr(node, "function", None)
    backend = type(harness.make())
    needs: Capability = getattr(test, "jobyard_needs", Capability.NONE)
    if lacking := [flag.name for flag in needs if flag not in backend.capabilities]:
        return " ".join(map(str, lacking))
    clauses = read_clauses()
    chapters = spanned(test)
    applying = [
        each for each in clauses.values() if each.id in cited(test) or each.chapter in chapters
    ]
    newer = max((each.since for each in applying), default=(0, 0))
    return f"contract {newer[0]}.{newer[1]}" if newer > backend.contract else ""
