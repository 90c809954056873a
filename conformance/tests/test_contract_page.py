"""The page of the contract says what the clauses say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[2] / "tools" / "contract.py"


def test_the_page_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(TOOL), "--check"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
