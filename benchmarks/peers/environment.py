"""An environment for each peer, made when it is first needed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Final

from benchmarks.children import ROOT
from benchmarks.peers.catalogue import IN_NODE, OURS

FOLDER: Final = ROOT / ".venv-peers"
HERE: Final = Path(__file__).parent
REQUIREMENTS: Final = HERE / "requirements"
STAMP: Final = "installed.sha256"

Command = tuple[str, ...]
"""The words that start a process which plays a peer; the store, the name and so on follow."""


class NotInstalled(Exception):
    """A peer's requirements cannot be installed here."""


class Environment(ABC):
    """A folder with what a file of pins requires; made anew when the file has changed."""

    ending: ClassVar[str]
    """How the file of pins ends."""

    def __init__(self, name: str, variant: str) -> None:
        self._requirements = REQUIREMENTS / f"{name}{self.ending}"
        self.folder = FOLDER / f"{name}-{variant}"

    def make(self) -> None:
        """Install what is required, unless that has been done."""
        wanted = hashlib.sha256(self._requirements.read_bytes()).hexdigest()
        stamp = self.folder / STAMP
        if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._install()
        stamp.write_text(wanted, encoding="utf-8")

    @abstractmethod
    def _install(self) -> None:
        """Install what is required into the empty folder."""

    @property
    @abstractmethod
    def command(self) -> Command:
        """Return what starts a process in it, once it is made."""


class PythonEnvironment(Environment):
    """A virtual environment of the Python that runs this."""

    ending = ".txt"

    def __init__(self, name: str) -> None:
        super().__init__(name, f"{sys.version_info.major}.{sys.version_info.minor}")
        self._python = str(self.folder / "bin" / "python")

    def _install(self) -> None:
        _run(sys.executable, "-m", "venv", str(self.folder))
        pip = (self._python, "-m", "pip", "install", "-q", "--disable-pip-version-check")
        _run(*pip, "-r", str(self._requirements))

    @property
    def command(self) -> Command:
        """Return what starts a process in it."""
        return in_python(self._python)


class NpmEnvironment(Environment):
    """A folder of Node's packages.

    No package's scripts run: all that is required here comes built for the common machines.
    """

    ending = ".json"

    def __init__(self, name: str) -> None:
        super().__init__(name, "npm")

    def _install(self) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise NotInstalled("npm is not there, which comes with Node 20 or later")
        shutil.copy(self._requirements, self.folder / "package.json")
        quiet = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
        pinned = ("--ignore-scripts", "--no-package-lock", "--engine-strict=false")
        _run(npm, "install", *pinned, *quiet, folder=self.folder)

    @property
    def command(self) -> Command:
        """Return what starts a process in it, on a Node that is pinned as well."""
        return (str(node()), str(HERE / "play.mjs"), str(self.folder))


def node() -> Path:
    """Return the pinned Node, which peers share: the one that is there may be too old for them."""
    environment = NpmEnvironment("node")
    environment.make()
    for found in environment.folder.glob("node_modules/node-*/bin/node"):
        return found
    raise NotInstalled("npm has no Node of the pinned version for this machine")


def in_python(python: str) -> Command:
    """Return what plays a peer on a Python that has it installed."""
    return (python, "-m", "benchmarks.peers.play")


def command_of(name: str) -> Command:
    """Make a peer's environment, and return what plays it; jobyard is in the one that runs this."""
    if name == OURS:
        return in_python(sys.executable)
    environment = NpmEnvironment(name) if name in IN_NODE else PythonEnvironment(name)
    environment.make()
    return environment.command


def _run(*command: str, folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        errors = [line for line in lines if line.startswith(("ERROR", "npm error"))] or lines
        raise NotInstalled(" ".join(errors[:2])[:300])
