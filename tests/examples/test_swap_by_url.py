"""An application and its tests run on every store, changed by the URL alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobyard.plugins import load_plugins

SHOP = Path(__file__).resolve().parent.parent.parent / "examples" / "swap_by_url"
STORES = ("sqlite", "postgres", "redis")


def run(*words: str, url: str, folder: Path) -> str:
    ended = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "JOBYARD_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("store", STORES)
def test_b01_an_app_and_its_tests_run_on_every_store_by_url_alone(
    store: str, tmp_path: Path
) -> None:
    with load_plugins().temporary(store, tmp_path) as place:
        apart = f"{place.url}{'&' if '?' in place.url else '?'}namespace=shop"
        shown = run(str(SHOP / "app.py"), url=apart, folder=tmp_path)
        tests = str(SHOP / "test_app.py")
        options = ("-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path))
        said = run("-m", "pytest", *options, tests, url=place.url, folder=tmp_path)

    assert [line.split(maxsplit=1)[0] for line in shown.splitlines()] == [
        "completed", "completed", "failed", "completed", "completed",
    ]  # fmt: skip
    assert "1 passed" in said


def test_without_a_url_the_shop_keeps_its_jobs_in_a_file(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "JOBYARD_URL"}
    ended = subprocess.run(
        [sys.executable, str(SHOP / "app.py")], cwd=tmp_path, env=environment, check=True
    )

    assert ended.returncode == 0
    assert (tmp_path / "shop.db").is_file()
