"""Sets up the checkout's own virtual environment, and does nothing when it is already whole.

    python3 tools/bootstrap.py [--venv DIR] [--python PATH]

The environment is made in its final place, because environments do not survive a move: the
scripts in it carry its path. What makes it count as whole is a stamp that is written last. A
set-up that was interrupted leaves no stamp, and the next run starts over. A run that finds
changed requirements installs them into the environment as it stands, so that whoever is
using it is not left without. A lock beside it lets one run work while the others wait.

This file runs on any Python 3.7 or later, so that an old `python3` can say what is missing or
find a newer Python beside it. It uses the standard library alone.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OLDEST = (3, 11)
NAMES = ("python3.14", "python3.13", "python3.12", "python3.11", "python3", "python")
DISTRIBUTIONS = (
    ".",
    "backends/sql",
    "backends/sqlite",
    "backends/postgres",
    "backends/redis",
    "conformance",
)
REQUIREMENTS = "requirements-dev.txt"
CONSTRAINTS = "constraints.txt"
STAMP = ".jobyard-stamp"
MARK = ".jobyard-venv"
# `pip --python` came with 22.3.
OLDEST_PIP = (22, 3)

PROBE = """
import importlib.util as u, sys
# Inside an environment this is the Python behind it, which stays when the environment goes.
print("%d.%d.%d" % sys.version_info[:3])
print(getattr(sys, "_base_executable", sys.executable))
print(" ".join(m for m in ("venv", "ensurepip", "sqlite3", "ssl") if u.find_spec(m)))
try:
    import sqlite3, ssl
except ImportError:
    print("broken")
"""


class SetupError(Exception):
    """The environment cannot be made; the message says what to do about it."""


def dotted(version: Iterable[int]) -> str:
    """Spells a version."""
    return ".".join(str(part) for part in version)


class Python:
    """One interpreter that was found: its path, its version, the modules it has."""

    def __init__(self, path: str, version: Sequence[int], modules: Iterable[str]) -> None:
        """Keeps what the probe said."""
        self.path = path
        self.version = tuple(version)
        self.modules = frozenset(modules)

    def __repr__(self) -> str:
        """Names the interpreter as messages do."""
        return f"Python {dotted(self.version)} at {self.path}"

    @property
    def usable(self) -> bool:
        """Whether jobyard runs on it: new enough, with sqlite3, ssl and venv."""
        needed = {"venv", "sqlite3", "ssl"}
        return self.version[:2] >= OLDEST and needed <= self.modules


def parse_probe(output: str) -> Python | None:
    """Reads what PROBE printed; None when it is not a Python that answers."""
    lines = output.strip().splitlines()
    if len(lines) < 3:
        return None
    version = tuple(int(part) for part in lines[0].split("."))
    modules = set(lines[2].split())
    if "broken" in lines[3:]:
        modules -= {"sqlite3", "ssl"}
    return Python(lines[1], version, modules)


def probe(command: str) -> Python | None:
    """Asks one interpreter what it is; None when it cannot be run."""
    try:
        # -I keeps the caller's PYTHONPATH and site out of the answer.
        answer = subprocess.run(
            [command, "-I", "-c", PROBE],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_probe(answer.stdout)


def choose(pythons: Sequence[Python]) -> Python | None:
    """Takes the first usable Python that has ensurepip, else the first usable one."""
    usable = [python for python in pythons if python.usable]
    for python in usable:
        if "ensurepip" in python.modules:
            return python
    return usable[0] if usable else None


def find_python(wanted: str | None = None) -> Python:
    """Finds a Python to build on: the wanted one, this one, or one on the PATH."""
    seen = []
    for command in (wanted,) if wanted else (sys.executable, *NAMES):
        python = probe(command) if command else None
        if python is None:
            continue
        seen.append(python)
        if python.usable and "ensurepip" in python.modules:
            break
    python = choose(seen)
    if python is None:
        raise SetupError(no_python(seen, wanted))
    return python


def no_python(seen: Sequence[Python], wanted: str | None = None) -> str:
    """Says why none of the Pythons will do, and what to install."""
    lines = [f"jobyard needs Python {dotted(OLDEST)} or later with venv, sqlite3 and ssl."]
    for python in seen:
        lacks = sorted({"venv", "sqlite3", "ssl"} - python.modules)
        old = python.version[:2] < OLDEST
        why = "too old" if old else "without " + ", ".join(lacks)
        lines.append(f"  found {python!r}: {why}")
    if not seen:
        lines.append(f"  {wanted} cannot be run." if wanted else "  found none at all.")
    lines.append("Install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew")
    lines.append("install python), or name one: make PYTHON=/path/to/python3.11 demo")
    return "\n".join(lines)


def fingerprint(root: str, version: str) -> str:
    """Sums up everything the environment is made from: one line, equal means up to date."""
    digest = hashlib.sha256()
    names = [os.path.join(place, "pyproject.toml") for place in DISTRIBUTIONS]
    for name in (*names, REQUIREMENTS, CONSTRAINTS, os.path.join("tools", "bootstrap.py")):
        with open(os.path.join(root, name), "rb") as source:
            content = source.read()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    # The root is part of it: editable installs point into the checkout by its path.
    return f"{digest.hexdigest()} {version} {root}"


def venv_python(venv: str) -> str:
    """Gives the path of the interpreter in an environment."""
    if os.name == "nt":
        return os.path.join(venv, "Scripts", "python.exe")
    return os.path.join(venv, "bin", "python")


def read(path: str) -> str:
    """Reads a small text file; empty when there is none."""
    try:
        with open(path, encoding="utf-8") as source:
            return source.read().strip()
    except OSError:
        return ""


def write(path: str, text: str) -> None:
    """Writes a small text file whole or not at all."""
    fresh = f"{path}.{os.getpid()}"
    with open(fresh, "w", encoding="utf-8") as target:
        target.write(text + "\n")
    os.replace(fresh, path)


def stamped_version(venv: str, root: str) -> str:
    """Gives the Python version of an environment that was finished for this checkout, else ""."""
    stamp = read(os.path.join(venv, STAMP)).split(" ", 2)
    return stamp[1] if len(stamp) == 3 and stamp[2] == root else ""


def is_whole(venv: str, root: str, wanted: str | None = None) -> bool:
    """Whether the environment was finished for exactly this checkout as it is now."""
    version = stamped_version(venv, root)
    if not version or not os.path.exists(venv_python(venv)):
        return False
    if wanted:
        python = probe(wanted)
        if python is None or dotted(python.version) != version:
            return False
    return read(os.path.join(venv, STAMP)) == fingerprint(root, version)


@contextlib.contextmanager
def locked(venv: str) -> Iterator[None]:
    """Lets one set-up of an environment run at a time."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        yield
        return
    with open(venv + ".lock", "w", encoding="utf-8") as lock:
        # The steps inherit the lock: when this process is killed and its pip lives on, the
        # next run waits for that pip instead of working against it.
        os.set_inheritable(lock.fileno(), True)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say(f"waiting for another set-up of {venv}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(text: str) -> None:
    """Prints a line of progress at once."""
    print("bootstrap: " + text, flush=True)


def surroundings(environment: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Leaves out the settings that would send an installation somewhere else."""
    astray = {"PYTHONHOME", "PYTHONPATH", "PIP_PREFIX", "PIP_ROOT", "PIP_TARGET", "PIP_USER"}
    return {name: value for name, value in environment if name not in astray}


def run(command: Sequence[str], root: str | None = None) -> None:
    """Runs a step of the set-up; raises CalledProcessError when it fails."""
    environment = surroundings(os.environ.items())
    subprocess.run(command, check=True, cwd=root, env=environment, close_fds=False)


def clear(venv: str) -> None:
    """Removes what an earlier run left; refuses to touch an environment it did not make."""
    if not os.path.lexists(venv):
        return
    if os.path.isdir(venv) and not os.listdir(venv):
        return
    if not os.path.exists(os.path.join(venv, MARK)):
        raise SetupError(
            f"{venv} is there but was not made by this script.\n"
            "Move it away, or choose another place: make VENV=.venv-jobyard demo"
        )
    # The mark goes last, so that a removal that is interrupted can be taken up again.
    for name in os.listdir(venv):
        if name != MARK:
            path = os.path.join(venv, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.remove(path)


def create(venv: str, python: Python) -> None:
    """Makes an empty environment with pip in it, or without when there is no ensurepip."""
    clear(venv)
    os.makedirs(venv, exist_ok=True)
    with open(os.path.join(venv, MARK), "w", encoding="utf-8") as mark:
        mark.write("made by tools/bootstrap.py\n")
    say(f"creating {venv} with {python!r}")
    if "ensurepip" in python.modules:
        try:
            run([python.path, "-m", "venv", venv])
            return
        except subprocess.CalledProcessError:
            say("the ensurepip of this Python does not work")
    say("without ensurepip (Debian has it in python3-venv): using the system's pip")
    run([python.path, "-m", "venv", "--without-pip", venv])


def pip_version(command: Sequence[str]) -> tuple[int, ...]:
    """Asks a pip for its version; an empty tuple when it cannot be run."""
    try:
        answer = subprocess.run(
            [*command, "--version"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_pip_version(answer.stdout)


def parse_pip_version(output: str) -> tuple[int, ...]:
    """Reads `pip 25.1 from …`; an empty tuple when it says something else."""
    words = output.split()
    if len(words) < 2 or words[0] != "pip":
        return ()
    parts = words[1].split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


def find_pip(venv: str, python: Python) -> list[str]:
    """Finds the command that installs into the environment: its own pip, else the system's."""
    inside = venv_python(venv)
    if pip_version([inside, "-m", "pip"]):
        return [inside, "-m", "pip"]
    for command in ([python.path, "-m", "pip"], ["pip3"], ["pip"], [sys.executable, "-m", "pip"]):
        if pip_version(command) >= OLDEST_PIP:
            return [*command, "--python", inside]
    raise SetupError(
        f"{python!r} has no ensurepip, and no pip {dotted(OLDEST_PIP)} or later was found.\n"
        "Install one of them (Debian, Ubuntu: apt install python3-venv), then run this again."
    )


def install(pip: Sequence[str], root: str) -> None:
    """Installs the tools, then all distributions together, at the versions in constraints."""
    quiet = ["-qq", "--disable-pip-version-check", "-c", CONSTRAINTS]
    say("installing the tools")
    run([*pip, "install", *quiet, "-r", REQUIREMENTS], root=root)
    # One command for all six, so that they find each other here and nowhere else. The build
    # backend is among the tools by now: no isolated build that would fetch another one.
    say(f"installing the {len(DISTRIBUTIONS)} distributions")
    editable = [word for place in DISTRIBUTIONS for word in ("-e", editable_path(place))]
    run([*pip, "install", *quiet, "--no-build-isolation", *editable], root=root)
    run([*pip, "check", "--quiet", "--disable-pip-version-check"], root=root)


def editable_path(place: str) -> str:
    """Spells a distribution's folder so that pip cannot take it for a package's name."""
    return place + "[all]" if place == "." else "./" + place


def set_up(venv: str, root: str, wanted: str | None = None) -> None:
    """Makes the environment whole, from nothing or from what is there."""
    began = time.monotonic()
    python = find_python(wanted)
    version = dotted(python.version)
    stamp = os.path.join(venv, STAMP)
    if stamped_version(venv, root) == version and probe(venv_python(venv)) is not None:
        say(f"the requirements have changed: renewing {venv}")
        os.remove(stamp)
    else:
        create(venv, python)
    install(find_pip(venv, python), root)
    write(stamp, fingerprint(root, version))
    say(f"{venv} is ready ({time.monotonic() - began:.0f} s)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the script; returns the exit code."""
    parser = argparse.ArgumentParser(description="Set up the checkout's virtual environment.")
    parser.add_argument("--venv", default=os.path.join(ROOT, ".venv"), help="where it goes")
    parser.add_argument("--python", help="the Python to build on (default: found by itself)")
    options = parser.parse_args(arguments)
    venv = os.path.abspath(options.venv)
    if is_whole(venv, ROOT, options.python):
        return 0
    try:
        with locked(venv):
            # Another run may have finished while this one waited.
            if not is_whole(venv, ROOT, options.python):
                set_up(venv, ROOT, options.python)
    except SetupError as failure:
        print(f"bootstrap: {failure}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as failure:
        print(f"bootstrap: this step failed: {' '.join(failure.cmd)}", file=sys.stderr)
        print("bootstrap: the next run starts over", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bootstrap: interrupted; the next run starts over", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
