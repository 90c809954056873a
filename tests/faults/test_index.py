"""The page of faults says which tests show a case, and claims nothing that no test shows."""

from __future__ import annotations

import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def faults() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "faults.py"))


def test_the_page_of_faults_is_as_the_tests_say(faults: dict[str, Any]) -> None:
    page = ROOT / "docs" / "reference" / "faults.md"
    assert page.read_text(encoding="utf-8") == faults["faults_page"]()


def test_every_case_is_told_with_what_holds() -> None:
    cases = tomllib.loads((ROOT / "tests" / "faults" / "cases.toml").read_text(encoding="utf-8"))
    numbers = {"F": 25, "Z": 10, "T": 14, "N": 34, "R": 12, "A": 10, "B": 30}
    assert set(cases) == {
        f"{kind}{number:02}" for kind, last in numbers.items() for number in range(1, last + 1)
    }
    assert [case for case, told in cases.items() if not (told["what"] and told["holds"])] == []


def cases_of(
    faults: dict[str, Any], root: Path, monkeypatch: pytest.MonkeyPatch, path: str, code: str
) -> list[tuple[str, tuple[str, ...]]]:
    module = root / path
    module.parent.mkdir(parents=True)
    module.write_text(f"import pytest\n{code}", encoding="utf-8")
    monkeypatch.setitem(faults["shown_cases"].__globals__, "ROOT", root)
    return [(each.case, each.stores) for each in faults["shown_cases"]()]


@pytest.mark.parametrize(
    ("path", "code", "found"),
    [
        (
            "backends/redis/tests/test_it.py",
            "@pytest.mark.case('N26')\nasync def test_it(): ...",
            [("N26", ("redis",))],
        ),
        (
            "tests/rows/test_it.py",
            "@pytest.mark.case('F02', 'F03')\ndef test_it(shared_url): ...",
            [("F02", ("sqlite", "postgres", "redis")), ("F03", ("sqlite", "postgres", "redis"))],
        ),
        (
            "tests/worker/test_it.py",
            "@pytest.mark.case('F22')\ndef test_it(yard): ...",
            [("F22", ("memory",))],
        ),
        (
            "conformance/src/chapter.py",
            "class C:\n  @requires(X)\n  @pytest.mark.case('F01')\n  async def test_it(self): ...",
            [("F01", ("sqlite", "postgres", "redis"))],
        ),
        (
            "conformance/src/chapter.py",
            "class C:\n  @pytest.mark.case('N05', on=('postgres',))\n  def test_it(self): ...",
            [("N05", ("postgres",))],
        ),
        ("tests/test_it.py", "def test_it(): ...  # mark.case('F01')", []),
    ],
)
def test_a_mark_tells_the_cases_and_the_place_the_stores(
    faults: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    code: str,
    found: list[tuple[str, tuple[str, ...]]],
) -> None:
    assert cases_of(faults, tmp_path, monkeypatch, path, code) == found


def test_a_store_that_is_none_is_refused(
    faults: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "@pytest.mark.case('F01', on=('oracle',))\ndef test_it(): ..."
    with pytest.raises(SystemExit, match="oracle"):
        cases_of(faults, tmp_path, monkeypatch, "tests/test_it.py", code)


@pytest.mark.parametrize("field", ["none", "open"])
def test_what_is_shown_may_not_be_told_otherwise(faults: dict[str, Any], field: str) -> None:
    shown = [faults["Shown"]("F01", "a test", ("sqlite",))]
    with pytest.raises(SystemExit, match="F01"):
        faults["_cells"]("F01", {field: {"sqlite": "why"}}, shown)
    cells = faults["_cells"]("F01", {field: {"redis": "why"}}, shown)
    assert cells["sqlite"] == "shown"
    assert cells["postgres"] == "**open**"
