"""Every work of the benchmarks runs, at a tiny size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.book import Book, percentile
from benchmarks.works import WORKS

pytestmark = pytest.mark.timeout(900)
"""Many processes one after the other, each of which a busy machine may start slowly."""

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--size", "tiny", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("work", WORKS)
def test_k162_a_work_measures_and_writes_what_it_found(work: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"

    ended = run("--only", work, "--folder", str(tmp_path), "--json", str(path))

    # 1 says that a requirement was missed, as so few jobs on a busy machine may.
    assert ended.returncode in {0, 1}, ended.stderr
    assert path.exists(), ended.stderr  # 1 is what Python ends with, too, after an error
    result = json.loads(path.read_text())
    assert {figure["work"] for figure in result["figures"]} == {work}
    assert all(figure["values"] for figure in result["figures"])
    assert all(f["min"] <= f["median"] <= f["max"] for f in result["figures"])
    if work == "W5":
        assert {"in process, p95", "across processes, p95", "driver alone, p95"} <= {
            f["name"] for f in result["figures"]
        }
    assert result["machine"]["cores"]
    assert work in ended.stdout
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize(("store", "product"), [("redis", "Valkey"), ("postgresql", "PostgreSQL")])
def test_a_server_is_measured_likewise(tmp_path: Path, store: str, product: str) -> None:
    path = tmp_path / "result.json"

    ended = run("--store", store, "--only", "W1,W4,W5,W7", "--json", str(path))

    assert ended.returncode in {0, 1}, ended.stderr
    assert path.exists(), ended.stderr  # 1 is what Python ends with, too, after an error
    result = json.loads(path.read_text())
    assert {figure["work"] for figure in result["figures"]} == {"W1", "W4", "W5", "W7"}
    assert result["store"]["product"].startswith(product)


def test_an_unknown_work_is_an_error_that_names_the_known_ones() -> None:
    ended = run("--only", "W99")

    assert ended.returncode == 2
    assert "W1, W2" in ended.stderr


def test_a_figure_has_the_median_of_its_rounds_and_keeps_its_bound() -> None:
    book = Book()
    book.note("W", "rate", "jobs/s", 5.0)
    book.note("W", "rate", "jobs/s", 1.0)
    book.at_least(book.note("W", "rate", "jobs/s", 3.0), 3.0)

    (row,) = book.as_json()

    assert (row["median"], row["min"], row["max"]) == (3.0, 1.0, 5.0)
    assert row["bound"] == {"kind": "at least", "value": 3.0, "kept": True}


def test_a_ratio_compares_the_latest_round() -> None:
    book = Book()
    top, bottom = book.note("W", "top", "", 10.0), book.note("W", "bottom", "", 2.0)
    ratio = book.ratio("W", "top / bottom", top, bottom)
    book.note("W", "top", "", 9.0)
    book.note("W", "bottom", "", 3.0)
    book.ratio("W", "top / bottom", top, bottom)

    assert ratio.values == [5.0, 3.0]


def test_a_figure_past_its_bound_is_missed() -> None:
    book = Book()
    figure = book.note("W", "delay", "ms", 16.0)
    book.at_most(figure, 15.0)
    bound = book.bound(figure)

    assert bound is not None
    assert not bound.is_kept


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (95, 95), (99, 99), (100, 100)])
def test_a_percentile_is_one_of_the_values(percent: int, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], percent) == value
