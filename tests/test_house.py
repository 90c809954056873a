"""The rules of the house that no tool checks."""

import ast
import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 450
LONGEST_SLEEP_S = 0.05
NAMELESS = {"base", "common", "helper", "helpers", "manager", "managers", "util", "utils"}

MARKS = re.compile(r"\b(TODO|FIXME)\b")
HOME = re.compile(r"(?<![\w.~}])/(?:root|home/\w+|Users/\w+)/|[A-Z]:\\Users\\")
REGISTRY = re.compile(r"\b(?:pypi\.org|pythonhosted\.org)", re.IGNORECASE)


def checkout_files() -> list[Path]:
    """Lists what git tracks or would track; all there is where git is not."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode == 0 and listing.stdout:
        paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    else:
        tops = ("src", "backends", "conformance", "tests", "tools", "docs", "examples")
        paths = [path for top in tops for path in sorted((ROOT / top).rglob("*"))]
        paths += sorted(ROOT.glob("*.*"))
    return [path for path in paths if path.is_file() and "__pycache__" not in path.parts]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


FILES = checkout_files()
WRITTEN = {ROOT / "src" / "jobyard" / "sync.py"}
"""What a script writes."""

MODULES = [path for path in FILES if path.suffix == ".py" and path not in WRITTEN]
TESTS = [path for path in MODULES if "tests" in path.relative_to(ROOT).parts]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines_that_match(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{named(path)}:{number}: {line.strip()[:80]}"
        for path in FILES
        if path != Path(__file__).resolve()  # it has to spell what it looks for
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if pattern.search(line)
    ]


def sleeps(source: str) -> list[int]:
    """Gives the lines on which a test itself sleeps for longer than it may.

    A handler inside a test may: it stands for slow work.
    """
    return [
        node.lineno
        for test in ast.walk(ast.parse(source))
        if isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef)
        and test.name.startswith("test_")
        for node in own_nodes(test)
        if isinstance(node, ast.Call) and is_long_sleep(node)
    ]


def is_on_virtual_time(path: Path) -> bool:
    """Tells whether a test's folder runs it in a loop in which a sleep takes no time."""
    conftest = path.parent / "conftest.py"
    return conftest.is_file() and "VirtualLoop" in text_of(conftest)


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Walks over a function without the functions inside it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from own_nodes(child)


def is_long_sleep(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    if name in {"time.sleep", "sleep"}:
        return True
    if name not in {"asyncio.sleep", "anyio.sleep"} or not call.args:
        return False
    seconds = call.args[0]
    if not isinstance(seconds, ast.Constant) or not isinstance(seconds.value, int | float):
        return False
    return seconds.value > LONGEST_SLEEP_S


def test_there_are_files_to_look_at() -> None:
    assert ROOT / "pyproject.toml" in FILES
    assert Path(__file__).resolve() in TESTS


def test_no_module_is_too_long() -> None:
    lengths = {named(path): len(text_of(path).splitlines()) for path in MODULES}

    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    parts = {named(path): {*path.relative_to(ROOT).parts[:-1], path.stem} for path in MODULES}

    assert [name for name, words in parts.items() if words & NAMELESS] == []


def test_nothing_is_marked_as_left_to_do() -> None:
    assert lines_that_match(MARKS) == []


def test_no_test_sleeps() -> None:
    found = [
        f"{named(path)}:{line}"
        for path in TESTS
        if not is_on_virtual_time(path)
        for line in sleeps(text_of(path))
    ]

    assert found == []


def test_no_file_names_a_home_folder() -> None:
    assert lines_that_match(HOME) == []


def test_no_file_names_a_package_registry() -> None:
    assert lines_that_match(REGISTRY) == []


def test_every_distribution_has_the_same_version_and_licence() -> None:
    projects = [path for path in FILES if path.name == "pyproject.toml"]
    versions = {
        re.findall(r'^version = "(.*)"$', text_of(path), re.MULTILINE)[0] for path in projects
    }
    licences = {text_of(path.parent / "LICENSE") for path in projects}

    assert (len(projects), len(versions), len(licences)) == (6, 1, 1)


def test_every_package_says_that_it_is_typed() -> None:
    packages = [
        *ROOT.glob("src/*"),
        *ROOT.glob("backends/*/src/*"),
        *ROOT.glob("conformance/src/*"),
    ]
    packages = [package for package in packages if (package / "__init__.py").is_file()]

    assert len(packages) == 6
    assert [named(package) for package in packages if not (package / "py.typed").is_file()] == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("time.sleep(0)", [1]),
        ("x = 1\nawait asyncio.sleep(1)", [2]),
        ("await asyncio.sleep(0)", []),
        ("await asyncio.sleep(0.01)", []),
        ("await anyio.sleep(0.5)", [1]),
        ("await asyncio.sleep(delay)", []),
    ],
)
def test_a_sleep_is_seen(source: str, lines: list[int]) -> None:
    indented = textwrap.indent(source, "    ")
    assert sleeps(f"async def test_it():\n{indented}") == [line + 1 for line in lines]


@pytest.mark.parametrize("path", ["/root/x", "'/home/ann/x", "C:\\Users\\ann"])
def test_a_home_folder_is_seen(path: str) -> None:
    assert HOME.search(path)


@pytest.mark.parametrize("path", ["docs/home/x", "tests/root/x", "sqlite:///jobs.db", "~/jobs.db"])
def test_another_folder_is_not_taken_for_a_home(path: str) -> None:
    assert not HOME.search(path)
