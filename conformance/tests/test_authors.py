"""What an author cannot do unseen: leave a test out, declare what cannot be tried."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jobyard_conformance import ConformanceSuite, UrlHarness

CASES = """
import secrets
import pytest
from jobyard.backend import Capability
from jobyard.memory import MemoryBackend
from jobyard.url import BackendUrl
from jobyard_conformance import ConformanceSuite, Harness


def suite(name, **members):
    kind = type(name, (MemoryBackend,), members)

    class Own(Harness):
        def __init__(self):
            super().__init__()
            self.at = BackendUrl.parse(f"memory://{secrets.token_hex(6)}")

        def make(self, *, clock=None, namespace=None):
            return kind(self.at, namespace=namespace or self.namespace, clock=clock)

    def harness(self):
        return Own()

    return type(f"Test{name}", (ConformanceSuite,), {"harness": pytest.fixture(harness)})


TestPlain = suite("Plain")
TestShared = suite("Shared", capabilities=Capability.SHARED)
TestTransacted = suite("Transacted", capabilities=Capability.CALLER_TX)
TestNewer = suite("Newer", contract=(9, 1))
TestOlder = suite("Older", contract=(1, 0))
TestSkipping = pytest.mark.skip("no time")(suite("Skipping"))


class TestKnown(suite("Known")):
    @pytest.mark.xfail(strict=True, reason="mended in 1.1")
    def test_closing_is_good_any_number_of_times(self):
        raise AssertionError
"""
GROWN = """
from jobyard import contract, plugins

plugins.CONTRACT = (1, 1)
contract.__doc__ = contract.__doc__.replace("GROUP-5 [1.0]", "GROUP-5 [1.1]")
assert "GROUP-5 [1.1]" in contract.__doc__
"""
INTERRUPTED = """
import pytest


def lineless():
    raise ValueError("interrupted")


lineless.__code__ = lineless.__code__.replace(co_linetable=b"")


@pytest.fixture
def broken():
    lineless()


def test_interrupted():
    lineless()


def test_interrupted_within_another():
    try:
        lineless()
    except ValueError as error:
        raise ExceptionGroup("both", [error]) from error


def test_interrupted_before_it_began(broken):
    raise AssertionError


def test_whole():
    pass
"""
FORGETFUL = """
import pytest

def pytest_collection_modifyitems(items):
    items[:] = [each for each in items if "closing" not in each.name]
"""
TESTS = {
    "SIMPLE": "test_closing_is_good_any_number_of_times",
    "PROCESSES": "test_what_a_killed_process_had_added_is_there",
    "WITHIN": "test_what_is_committed_is_there",
    "LATER": "test_a_group_that_was_gone_begins_anew",
    "KNOWN": "test_closing_is_good_any_number_of_times",
}


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", "pytest.ini", *options],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """Run a test of each suite, and give what was printed and the certificate by suite."""
    folder = tmp_path_factory.mktemp("authors")
    (folder / "test_cases.py").write_text(CASES, encoding="utf-8")
    (folder / "grown.py").write_text(GROWN, encoding="utf-8")  # the contract as it may be one day
    chosen: Sequence[tuple[str, str]] = (
        ("Plain", "SIMPLE"),
        ("Shared", "PROCESSES"),
        ("Transacted", "WITHIN"),
        ("Newer", "SIMPLE"),
        ("Older", "SIMPLE"),
        ("Older", "LATER"),
        ("Skipping", "SIMPLE"),
        ("Known", "KNOWN"),
    )
    nodes = [f"test_cases.py::Test{name}::{TESTS[which]}" for name, which in chosen]
    done = run(folder, "-p", "grown", *nodes, "--jobyard-report=report.json")
    found = json.loads((folder / "report.json").read_text(encoding="utf-8"))["suites"]
    return done.stdout, {each["suite"].rpartition(".Test")[2]: each for each in found}


def outcomes(suite: dict[str, Any]) -> dict[str, int]:
    return {
        outcome: number
        for row in suite["chapters"].values()
        for outcome, number in row.items()
        if number
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Plain", {"passed": 1}),
        ("Shared", {"failed": 1}),
        ("Transacted", {"failed": 1}),
        ("Newer", {"failed": 1}),
        ("Older", {"passed": 1, "not claimed": 1}),
        ("Skipping", {"failed": 1}),
        ("Known", {"known fault": 1}),
    ],
)
def test_the_certificate_tells_what_became_of_a_suite(
    suites: tuple[str, dict[str, Any]], name: str, expected: dict[str, int]
) -> None:
    assert outcomes(suites[1][name]) == expected
    assert suites[1][name]["complete"] is False


@pytest.mark.parametrize(
    "text",
    [
        "declares SHARED or DURABLE, but its harness has no url",
        "has no transactions to add within",
        "was written for contract 9.1",
        "a test of the suite is not to be skipped: Skipped: no time",
    ],
)
def test_a_failure_tells_what_to_do(suites: tuple[str, dict[str, Any]], text: str) -> None:
    assert text in suites[0]


def test_a_test_of_the_suite_cannot_be_set_to_none() -> None:
    with pytest.raises(TypeError, match="overrides a test of the suite"):
        type("TestAcme", (ConformanceSuite,), {TESTS["SIMPLE"]: None})


def test_a_test_of_the_suite_cannot_be_hidden_by_a_base() -> None:
    hiding = type("Hiding", (), {TESTS["SIMPLE"]: lambda self: None})
    with pytest.raises(TypeError, match="overrides a test of the suite"):
        type("TestAcme", (hiding, ConformanceSuite), {})


def test_an_address_can_name_the_namespace_of_the_test() -> None:
    one, other = (UrlHarness("memory://of-{namespace}") for _ in range(2))
    assert one.url == f"memory://of-{one.namespace}" != other.url


def test_a_test_left_out_by_a_conftest_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test_cases.py").write_text(CASES, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(FORGETFUL, encoding="utf-8")
    done = run(tmp_path, "--collect-only")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "tests of the suite" in done.stderr


def test_a_test_left_out_on_the_command_line_makes_the_run_partial(tmp_path: Path) -> None:
    (tmp_path / "test_cases.py").write_text(CASES, encoding="utf-8")
    done = run(tmp_path, "-k", f"TestPlain and {TESTS['SIMPLE']}")
    assert done.returncode == 0, done.stdout
    assert "a partial run: " in done.stdout


def test_a_test_interrupted_between_two_lines_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "test_interrupted.py").write_text(INTERRUPTED, encoding="utf-8")
    done = run(tmp_path, "-p", "no:randomly", "--tb=short", "test_interrupted.py")
    assert "INTERNALERROR" not in done.stdout
    assert "2 failed, 1 passed, 1 error" in done.stdout
    assert "interrupted" in done.stdout
