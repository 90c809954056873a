"""The backend of the tutorial passes the suite, and one that leaves a line out does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobyard_conformance.clauses import read_clauses

PAGE = Path(__file__).parent.parent / "docs" / "tutorial" / "write-a-backend.md"
CODE = PAGE.parent / "journal"
FENCE = re.compile(r"^```py\n(.*?)^```$", re.DOTALL | re.MULTILINE)
WHOLE = os.environ.get("JOBYARD_TUTORIAL") == "all"

pytestmark = pytest.mark.timeout(1_800)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the backend installed, and its tests."""
    info = tmp_path / "jobyard_journal-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: jobyard-journal\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[jobyard]\njournal = jobyard_journal\n")
    for path in CODE.glob("*.py"):
        shutil.copy(path, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def run(site: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", "pytest.ini", "test_journal.py", *options],
        cwd=site,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(site)},
    )


def test_b02_the_tutorials_backend_passes_the_suite(site: Path) -> None:
    done = run(site, *([] if WHOLE else ["--jobyard-quick"]))
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"clauses: {len(read_clauses())} checked" in done.stdout
    assert "SHARED, DURABLE" in done.stdout


def test_b02_one_that_does_not_read_on_fails_the_clause_for_it(site: Path) -> None:
    module = site / "jobyard_journal.py"
    code = module.read_text(encoding="utf-8")
    assert code.count("self._catch_up(self._file)") == 1
    module.write_text(code.replace("self._catch_up(self._file)", "pass"), encoding="utf-8")
    done = run(site, "--jobyard-clause", "ALL-4")
    assert done.returncode == 1
    assert "broken: ALL-4" in done.stdout
    assert "a handle caches what another one changes" in done.stdout


def test_what_the_page_shows_is_the_code() -> None:
    files = "".join(path.read_text(encoding="utf-8") for path in sorted(CODE.iterdir()))
    shown = FENCE.findall(PAGE.read_text(encoding="utf-8"))
    assert len(shown) >= 6
    assert [block for block in shown if block not in files] == []
