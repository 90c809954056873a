"""A short chaos run of one seed; `make soak` makes many, and longer ones."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from jobyard_conformance.chaos import Report, Setting, verify
from jobyard_conformance.harness import Harness

__all__ = ["short_run"]

SECONDS: Final = 12


def short_run(request: pytest.FixtureRequest, harness: Harness, folder: Path) -> Report:
    """Put a store through chaos, by the seed asked for; raise what its histories show."""
    seed = request.config.getoption("jobyard_seed") or 1
    command = f"python -m pytest {request.node.nodeid} --jobyard-seed {seed}"
    return verify(
        harness, Setting(seed=seed, folder=folder / "run", seconds=SECONDS, command=command)
    )
