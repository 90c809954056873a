"""The pytest plugin of the conformance suite."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from jobyard_conformance.breaking import SHARES, Steps
from jobyard_conformance.chapter import NOT_CLAIMED
from jobyard_conformance.clauses import read_clauses
from jobyard_conformance.hints import HINTS
from jobyard_conformance.racing import SEEDS
from jobyard_conformance.selection import (
    LEFT_OUT,
    is_of_the_suite,
    left_out,
    refuse_silence,
    suite_name,
)
from jobyard_conformance.suite import YARD
from jobyard_conformance.summary import Certificate, tally
from jobyard_conformance.tracebacks import drop_unnumbered


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options."""
    group = parser.getgroup("jobyard", "jobyard conformance")
    group.addoption(
        "--jobyard-url",
        metavar="URL",
        help="the store that jobyard_conformance.run is run on; {namespace} in it is replaced by "
        "the namespace of each test",
    )
    group.addoption(
        "--jobyard-unreachable",
        metavar="URL",
        help="an address of the same kind where no store is, with a password if it can have one",
    )
    group.addoption(
        "--jobyard-clause",
        metavar="ID",
        action="append",
        default=[],
        help="run only the suite's tests that cite this clause (may be given several times)",
    )
    group.addoption(
        "--jobyard-examples",
        metavar="N",
        type=int,
        help="how many examples the model test runs, of a random seed (for long runs)",
    )
    group.addoption(
        "--jobyard-seed",
        metavar="N",
        type=int,
        help="the seed of the races and of the model test's examples, instead of their own",
    )
    group.addoption(
        "--jobyard-every-step",
        action="store_true",
        help="let the server fall at each call of a scenario, not at a few by the seed",
    )
    group.addoption(
        "--jobyard-quick",
        action="store_true",
        help="run one case of each test, and none of those that span the whole contract",
    )
    group.addoption("--jobyard-report", metavar="FILE", help="write the outcome by clause as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Register the suite's marker, for runs under --strict-markers."""
    config.addinivalue_line(
        "markers", "clause(*ids): the clauses of jobyard's backend contract that a test checks"
    )
    config.addinivalue_line(
        "markers", "spans(*chapters): the chapters of the contract that a test checks as a whole"
    )
    config.addinivalue_line(
        "markers", "case(*ids, on=stores): the named faults of jobyard's own table that it shows"
    )
    config.addinivalue_line(
        "markers", "timeout(seconds): how long a test may take, where pytest-timeout is installed"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a race with each of its seeds, or with the one asked for; choose where servers fall."""
    given: int | None = metafunc.config.getoption("jobyard_seed")
    if "race_seed" in metafunc.fixturenames:
        metafunc.parametrize("race_seed", SEEDS if given is None else (given,))
    if "fallen_steps" in metafunc.fixturenames:
        seed = SEEDS[0] if given is None else given
        every: bool = metafunc.config.getoption("jobyard_every_step")
        steps = [Steps(seed, each) for each in range(SHARES)] if every else [Steps(seed)]
        metafunc.parametrize("fallen_steps", steps, ids=str)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note each test's chapter and clauses, and keep those asked for."""
    wanted = set(config.getoption("jobyard_clause"))
    unknown = wanted - set(read_clauses())
    if unknown:
        msg = f"there is no clause {', '.join(sorted(unknown))} in the contract"
        raise pytest.UsageError(msg)
    quick: bool = config.getoption("jobyard_quick")
    tried: set[tuple[object, str]] = set()
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        cites = [each for mark in item.iter_markers("clause") for each in mark.args]
        if cites or item.get_closest_marker("spans"):
            chapter = getattr(getattr(item, "function", None), "jobyard_chapter", "") or "own"
            item.user_properties += [
                ("jobyard_suite", suite_name(item)),
                ("jobyard_chapter", chapter),
                ("jobyard_clauses", cites),
            ]
        case = getattr(item, "cls", None), getattr(item, "originalname", item.name)
        again = quick and (case in tried or item.get_closest_marker("spans") is not None)
        tried.add(case)
        (kept if not again and (not wanted or wanted & set(cites)) else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse a run that leaves out tests of the suite without having been asked to."""
    missing = left_out(session.items)
    refuse_silence(session.config, missing)
    session.config.stash[LEFT_OUT] = missing


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a failure say which clause was broken, by which calls, and what usually causes it."""
    if call.excinfo is not None:
        drop_unnumbered(call.excinfo.value)
    report = yield
    if report.skipped and is_of_the_suite(item) and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if NOT_CLAIMED not in reason:
            report.outcome = "failed"
            report.longrepr = f"a test of the suite is not to be skipped: {reason}"
    if report.failed:
        _explain(item, report)
    return report


def _explain(item: pytest.Item, report: pytest.TestReport) -> None:
    """Add to a failure the clauses, what usually breaks them, and the calls that did."""
    cites = [each for mark in item.iter_markers("clause") for each in mark.args]
    clauses = read_clauses()
    if cites:
        told = "\n".join(f"{clauses[each]}  ({clauses[each].owner})" for each in cites)
        report.sections.append(("the contract says", told))
    for mark in item.iter_markers("spans"):
        chapters = ", ".join(map(str, mark.args))
        text = f"the difference shown above breaks a clause of the chapters {chapters}"
        report.sections.append(("the contract says", text))
    hints = [HINTS[each] for each in cites if each in HINTS]
    if hints:
        report.sections.append(("what usually causes this", "\n".join(hints)))
    if (yard := item.stash.get(YARD, None)) is not None and report.when == "call":
        report.sections.append(("calls of the backend", str(yard.transcript)))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show what each suite did, chapter by chapter, and write the certificate if asked to."""
    suites = tally(
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport)
    )
    missing = config.stash.get(LEFT_OUT, {})
    for suite in suites:
        suite.left_out = len(missing.get(suite.name, ()))
        terminalreporter.section(f"jobyard conformance: {suite.name}")
        for line in suite.lines():
            terminalreporter.write_line(line)
    path: str | None = config.getoption("jobyard_report")
    if path is not None:
        Certificate(suites).write(path)
