"""What a run leaves out: asked for on the command line it is a partial run, else it is an error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import pytest

from jobyard_conformance.suite import SUITE_TESTS, ConformanceSuite

__all__ = ["LEFT_OUT", "is_of_the_suite", "left_out", "refuse_silence", "suite_name"]

LEFT_OUT: Final = pytest.StashKey[Mapping[str, frozenset[str]]]()
"""The tests that each suite of a run leaves out."""

ASKED: Final = (
    *("-k", "-m", "--deselect", "--lf", "--last-failed", "--sw", "--stepwise"),
    *("--jobyard-clause", "--jobyard-quick"),
)
"""The options that choose among tests."""

SHOWN: Final = 5


def suite_name(item: pytest.Item) -> str:
    """Name the suite that a test belongs to."""
    owner = getattr(item, "cls", None)
    return item.nodeid if owner is None else f"{owner.__module__}.{owner.__qualname__}"


def is_of_the_suite(item: pytest.Item) -> bool:
    """Whether a test is one of the suite's own, in a suite of somebody."""
    owner = getattr(item, "cls", None)
    name: str = getattr(item, "originalname", None) or item.name
    return owner is not None and issubclass(owner, ConformanceSuite) and name in SUITE_TESTS


def left_out(items: Iterable[pytest.Item]) -> dict[str, frozenset[str]]:
    """Tell the tests of the suite that are not among those collected, by suite."""
    found: dict[str, set[str]] = {}
    for item in items:
        if is_of_the_suite(item):
            name: str = getattr(item, "originalname", None) or item.name
            found.setdefault(suite_name(item), set()).add(name)
    return {suite: frozenset(SUITE_TESTS.keys() - names) for suite, names in found.items()}


def refuse_silence(config: pytest.Config, missing: Mapping[str, frozenset[str]]) -> None:
    """Raise `UsageError` for tests left out by anything but the command line."""
    given = config.invocation_params.args
    if any(word.startswith(ASKED) or "::" in word for word in map(str, given)):
        return
    for suite, names in missing.items():
        if names:
            shown = ", ".join(sorted(names)[:SHOWN]) + (", …" if len(names) > SHOWN else "")
            msg = (
                f"{suite} leaves out {len(names)} tests of the suite ({shown}): choose tests on "
                "the command line, or override them with xfail(strict=True, reason=…)"
            )
            raise pytest.UsageError(msg)
