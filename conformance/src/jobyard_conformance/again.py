"""How to run a test again: the command that a failure shows."""

from __future__ import annotations

import shlex

import pytest

from jobyard.url import masked

__all__ = ["command_for"]


def command_for(request: pytest.FixtureRequest, *, seed: int) -> str:
    """Tell the command that runs a test with a seed alone; it shows no password."""
    node: pytest.Function = request.node
    url: str | None = request.config.getoption("jobyard_url")
    words = ["python", "-m", "pytest"]
    if url is None:
        words.append(f"{node.nodeid.partition('[')[0]}")
    else:
        shown = masked(url)
        words += ["--pyargs", "jobyard_conformance.run", "--jobyard-url", shown]
        words += ["-k", node.originalname]
    words += ["--jobyard-seed", str(seed)]
    return shlex.join(words)
