"""Every clause has a test, and every test a clause."""

from __future__ import annotations

import pytest
from conformance.tests.test_mutants import BROKEN

from jobyard_conformance.chapter import Chapter
from jobyard_conformance.chapters import CHAPTERS
from jobyard_conformance.clauses import EVERY_METHOD, cited, clause, parse, read_clauses, spanned
from jobyard_conformance.hints import HINTS
from jobyard_conformance.suite import ConformanceSuite

TESTS = [
    (chapter, name, member)
    for chapter in CHAPTERS
    for name, member in vars(chapter).items()
    if name.startswith("test")
]


def test_every_clause_has_a_test() -> None:
    known = {each for _, _, test in TESTS for each in cited(test)}
    assert sorted(set(read_clauses()) - known) == []


@pytest.mark.parametrize(("chapter", "name", "test"), TESTS, ids=[name for _, name, _ in TESTS])
def test_every_test_cites_a_clause(chapter: type[Chapter], name: str, test: object) -> None:
    assert cited(test) or spanned(test), f"{chapter.__name__}.{name} cites no clause"


def test_no_two_chapters_have_a_test_of_one_name() -> None:
    names = [name for _, name, _ in TESTS]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_every_chapter_is_in_the_suite_and_named() -> None:
    assert all(issubclass(ConformanceSuite, chapter) for chapter in CHAPTERS)
    assert all(chapter.chapter for chapter in CHAPTERS)
    assert len({chapter.chapter for chapter in CHAPTERS}) == len(CHAPTERS)


def test_hints_are_of_clauses() -> None:
    assert set(HINTS) <= set(read_clauses())


def test_what_mutants_break_has_a_hint() -> None:
    assert sorted(set(BROKEN.values()) - set(HINTS)) == []


def test_clauses_are_read_with_their_owner() -> None:
    clauses = read_clauses()
    assert clauses["ALL-1"].owner == EVERY_METHOD
    assert clauses["ADD-3"].owner == "add"
    assert clauses["LISTEN-1"].owner == "listen"
    assert clauses["ADD-2"].text == "Jobs get insertion numbers that grow in the order given."


def test_clauses_are_numbered_without_a_hole() -> None:
    chapters: dict[str, list[int]] = {}
    for each in read_clauses().values():
        chapters.setdefault(each.chapter, []).append(int(each.id.rpartition("-")[2]))
    assert all(sorted(found) == list(range(1, len(found) + 1)) for found in chapters.values())


def test_a_sentence_may_go_over_lines() -> None:
    text = """Do it.

    X-1 [0.1] One
        two.
    X-2 [1.12] Three.

    Not a clause: X-3 [0.1] is in the middle of a line.
    """
    found = [(each.id, each.since, each.text) for each in parse(text, owner="it")]
    assert found == [("X-1", (0, 1), "One two."), ("X-2", (1, 12), "Three.")]


@pytest.mark.parametrize("ids", [(), ("ADD-1", "NONE-1")])
def test_a_clause_that_is_not_there_cannot_be_cited(ids: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="there is no clause"):
        clause(*ids)
