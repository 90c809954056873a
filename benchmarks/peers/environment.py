"""A virtual environment for each peer, made when it is first needed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.children import ROOT
from benchmarks.peers.catalogue import OURS

FOLDER: Final = ROOT / ".venv-peers"
REQUIREMENTS: Final = Path(__file__).parent / "requirements"
STAMP: Final = "installed.sha256"


class NotInstalled(Exception):
    """A peer's requirements cannot be installed here."""


def python_of(name: str) -> Path:
    """Return the Python that has a peer installed; jobyard's is the one that runs this."""
    if name == OURS:
        return Path(sys.executable)
    requirements = REQUIREMENTS / f"{name}.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = FOLDER / f"{name}-{version}"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = folder / STAMP
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        _make(folder, requirements)
        stamp.write_text(wanted, encoding="utf-8")
    return folder / "bin" / "python"


def _make(folder: Path, requirements: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    python = str(folder / "bin" / "python")
    install = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    for command in (
        (sys.executable, "-m", "venv", str(folder)),
        (*install, "-r", str(requirements)),
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["it said nothing"]
            errors = [line for line in lines if line.startswith("ERROR")] or lines
            raise NotInstalled(errors[0][:300])
