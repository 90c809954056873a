"""K-002: a stranger's backend, found by its entry point, is proven by the suite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobyard_conformance.clauses import read_clauses

PLUGIN = '''
from jobyard.backend import Backend, Capability
from jobyard.hookspecs import hookimpl
from jobyard.memory import MemoryBackend
from jobyard.plugins import BackendType


class AcmeBackend(MemoryBackend):
    """Another store, as far as anybody can tell from outside."""


class BrokenBackend(AcmeBackend):
    """One that forgets a pause."""

    async def control(self, queue, control):
        pass


@hookimpl
def jobyard_backends():
    return [
        BackendType(schemes=("acme",), summary="acme", load="acme_yard:AcmeBackend"),
        BackendType(schemes=("broken",), summary="broken", load="acme_yard:BrokenBackend"),
    ]
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder that holds an installed distribution nobody here has heard of."""
    info = tmp_path / "acme_yard-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-yard\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[jobyard]\nacme = acme_yard\n")
    (tmp_path / "acme_yard.py").write_text(PLUGIN)
    return tmp_path


def run_suite(site: Path, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        *(sys.executable, "-m", "pytest", "--pyargs", "jobyard_conformance.run"),
        *("--jobyard-url", url, "-q", "-p", "no:cacheprovider", *options),
    ]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        command, cwd=site, env=environment, capture_output=True, text=True, check=False
    )


def test_k002_a_third_party_backend_passes_the_suite(site: Path) -> None:
    done = run_suite(site, "acme://yard")
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"{len(read_clauses())} checked" in done.stdout


def test_k002_a_broken_one_fails_the_clause_that_it_breaks(site: Path) -> None:
    done = run_suite(site, "broken://yard", "-k", "paused or pause")
    assert done.returncode == 1
    assert "CONTROL-" in done.stdout
