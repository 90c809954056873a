"""The clauses: read from the docstrings of `jobyard.contract` and `jobyard.backend`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final, TypeVar

import pytest

from jobyard import backend, contract

__all__ = ["EVERY_METHOD", "Clause", "cited", "clause", "read_clauses", "spanned", "spans"]

Test = TypeVar("Test", bound=Callable[..., object])

EVERY_METHOD: Final = "every method"
"""The owner of the clauses that stand in the docstring of `jobyard.contract`."""

HEAD: Final = re.compile(r"^(?P<id>[A-Z]+-\d+) \[(?P<since>\d+\.\d+)\] (?P<text>.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One normative sentence: its id, the contract version that brought it, whose it is."""

    id: str
    since: tuple[int, int]
    text: str
    owner: str

    @property
    def chapter(self) -> str:
        """The part of the id before the number."""
        return self.id.partition("-")[0]

    def __str__(self) -> str:
        """Show it as the contract does."""
        return f"{self.id} [{self.since[0]}.{self.since[1]}] {self.text}"


@cache
def read_clauses() -> Mapping[str, Clause]:
    """Read every clause of the contract, by id, in the order written.

    Raises `ValueError` for an id given twice, and where no clause is found at all, as under
    `python -OO`, which drops docstrings.
    """
    found: dict[str, Clause] = {}
    for owner, text in _docstrings():
        for each in parse(text, owner=owner):
            if each.id in found:
                msg = f"the clause {each.id} is written twice"
                raise ValueError(msg)
            found[each.id] = each
    if not found:
        msg = "no clause was found: is this Python running with -OO, which drops docstrings?"
        raise ValueError(msg)
    return MappingProxyType(found)


def parse(text: str, *, owner: str) -> Iterable[Clause]:
    """Find the clauses of one docstring; indented lines go on the sentence before them."""
    head: re.Match[str] | None = None
    lines: list[str] = []

    def finished() -> Iterable[Clause]:
        if head is not None:
            major, minor = head["since"].split(".")
            sentence = " ".join([head["text"], *lines]).strip()
            yield Clause(id=head["id"], since=(int(major), int(minor)), text=sentence, owner=owner)

    for line in inspect.cleandoc(text).splitlines():
        if start := HEAD.match(line):
            yield from finished()
            head, lines = start, []
        elif head is not None and line.startswith(" "):
            lines.append(line.strip())
        else:
            yield from finished()
            head, lines = None, []
    yield from finished()


def _docstrings() -> Iterable[tuple[str, str]]:
    yield EVERY_METHOD, contract.__doc__ or ""
    for name, member in vars(backend.Backend).items():
        if inspect.isfunction(member) and member.__doc__:
            yield name, member.__doc__


def clause(*ids: str) -> Callable[[Test], Test]:
    """Mark a test with the clauses that it checks; an id that does not exist is an error.

    A test's first id names what it is about; further ones are checked along the way.
    """
    known = read_clauses()
    unknown = [each for each in ids if each not in known]
    if unknown or not ids:
        msg = f"there is no clause {', '.join(unknown) or '(none was given)'} in the contract"
        raise ValueError(msg)

    def decorate(test: Test) -> Test:
        marked: Test = pytest.mark.clause(*ids)(test)
        return marked

    return decorate


def spans(*chapters: str) -> Callable[[Test], Test]:
    """Mark a test that checks whole chapters against each other and so cites no clause.

    A clause is not taken as tested by it, nor as broken when it fails.
    """
    unknown = set(chapters) - {each.chapter for each in read_clauses().values()}
    if unknown or not chapters:
        msg = f"there is no chapter {', '.join(sorted(unknown)) or '(none was given)'}"
        raise ValueError(msg)

    def decorate(test: Test) -> Test:
        marked: Test = pytest.mark.spans(*chapters)(test)
        return marked

    return decorate


def spanned(test: object) -> tuple[str, ...]:
    """Tell which chapters of the contract a test spans."""
    return _marked(test, "spans")


def cited(test: object) -> tuple[str, ...]:
    """Tell which clauses a test function cites."""
    return _marked(test, "clause")


def _marked(test: object, name: str) -> tuple[str, ...]:
    marks: list[pytest.Mark] = getattr(test, "pytestmark", [])
    return tuple(each for mark in marks if mark.name == name for each in mark.args)
