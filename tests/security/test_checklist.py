"""SECURITY.md says nothing that no test shows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path
    for folder in ("src", "backends", "conformance/src")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "tests" not in path.relative_to(ROOT).parts
]
RUNS_CODE = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "yaml"}


def rows() -> list[list[str]]:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def all_tests() -> set[str]:
    folders = ("tests", "backends", "conformance")
    texts = (p.read_text(encoding="utf-8") for f in folders for p in (ROOT / f).rglob("*.py"))
    return {name for text in texts for name in re.findall(r"def (test_\w+)\(", text)}


def test_each_thing_done_is_shown_by_tests_that_exist() -> None:
    done = [row for row in rows() if row[1] == "done"]
    assert len(done) > 20
    named = {row[0]: re.findall(r"`(test_\w+)`", row[2]) for row in done}
    assert [what for what, tests in named.items() if not tests] == []
    assert {test for tests in named.values() for test in tests} - all_tests() == set()


def test_each_thing_has_a_state() -> None:
    states = {row[1] for row in rows() if not row[0].startswith("**")}
    assert states == {"done", "open", "not applicable"}


def imports(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def runs_code(path: Path) -> set[str]:
    """Name what a module has that may run what it reads."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return imports(tree) & RUNS_CODE | called & {"eval", "exec"}


def test_nothing_reads_what_could_run_code() -> None:
    assert {path: found for path in SOURCES if (found := runs_code(path))} == {}
    assert len(SOURCES) > 100


def test_the_core_imports_no_driver() -> None:
    """Nor does a service on a URL of memory://: the drivers come with the store that needs them."""
    script = (
        "import sys, jobyard, jobyard.sync\njobyard.QueueService('memory://')\n"
        "print([m for m in ('psycopg', 'redis', 'aiosqlite', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
