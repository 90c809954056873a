"""The example of a tested app passes its tests, and leaves no store behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "tested_app"


def test_b10_the_example_test_suite_passes(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "app")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=tmp_path / "app", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
    assert not list(tmp_path.rglob("*.db"))
