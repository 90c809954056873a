"""The page of features says which tests show a row, and no test shows a row that is not there."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_features_is_as_the_tests_say(reference: ModuleType) -> None:
    page = ROOT / "docs" / "reference" / "features.md"
    assert page.read_text(encoding="utf-8") == reference.features_page()


def test_k161_the_options_in_the_docs_are_those_of_the_code(reference: ModuleType) -> None:
    text = (ROOT / "docs" / "reference" / "options.md").read_text(encoding="utf-8")
    assert text == reference.options_page()
    for option, default in (
        ("attempts", 1),
        ("max_crashes", 3),
        ("concurrency", 10),
        ("lease", 60),
    ):
        assert re.search(rf"^\| .*`{option}`.* \| `{default}` \|", text, re.MULTILINE), option


def test_every_row_says_what_holds() -> None:
    rows = tomllib.loads((ROOT / "tests" / "rows" / "rows.toml").read_text(encoding="utf-8"))
    assert [
        row for row, told in rows.items() if not told.get("holds") and "later" not in told
    ] == []


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("test_k042_k043_attempts", ["K-042", "K-043"]),
        ("test_b06_adds_share", ["B-06"]),
        ("test_a_job_of_k042", ["K-042"]),
        ("test_none_in_k8s_or_kb100x", []),
    ],
)
def test_a_name_tells_the_rows(
    reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, rows: list
) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_it.py").write_text(f"class TestIt:\n    async def {name}(self): pass\n")
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    assert list(reference.tests_of_rows()) == rows
    assert all(name in link for links in reference.tests_of_rows().values() for link in links)


def test_a_row_that_is_not_there_is_refused(
    reference: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "tests_of_rows", lambda: {"K-999": ["somewhere"]})
    with pytest.raises(SystemExit, match="somewhere shows K-999"):
        reference.features_page()
