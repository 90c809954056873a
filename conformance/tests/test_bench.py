"""The shared benchmark runs on any store that a URL names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobyard_conformance.bench import BATCHES, main


def test_it_tells_figures_of_the_store_and_of_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "bench.json"
    url = f"sqlite:///{tmp_path}/bench.db"
    assert main(["--jobyard-url", url, "--jobs", "100", "--depth", "50", f"--json={report}"]) == 0
    figures = json.loads(report.read_text(encoding="utf-8"))
    seen = {(f["store"], f["operation"], f["batch"], f["depth"]) for f in figures}
    assert len(seen) == len(figures) == 2 * 2 * 2 * len(BATCHES)
    assert all(figure["rate"] > 0 for figure in figures)
    assert len(capsys.readouterr().out.splitlines()) == 1 + 2 * 2 * len(BATCHES)
