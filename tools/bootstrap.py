"""Sets up the checkout's own virtual environment, and does nothing when it is already whole.

    python3 tools/bootstrap.py [--venv DIR] [--python PATH]

The environment is made in its final place, because environments do not survive a move: the
scripts in it carry its path. What makes it count as whole is a stamp that is written last. A
set-up that was interrupted leaves no stamp, and the next run starts over. A run that finds
changed requirements installs them into the environment as it stands, so that whoever is
using it is not left without. A lock beside it lets one run work while the others wait.

This file runs on any Python 3.6 or later, so that an old `python3` can say what is missing or
find a newer Python beside it. It uses the standard library alone.
"""

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time

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
print("%d.%d.%d" % sys.version_info[:3])
print(sys.executable)
print(" ".join(m for m in ("venv", "ensurepip", "sqlite3", "ssl") if u.find_spec(m)))
try:
    import sqlite3, ssl
except ImportError:
    print("broken")
"""


class SetupFailed(Exception):
    """The environment cannot be made; the message says what to do about it."""


class Python:
    """One interpreter that was found: its path, its version, the modules it has."""

    def __init__(self, path, version, modules):
        """Keeps what the probe said."""
        self.path = path
        self.version = version
        self.modules = frozenset(modules)

    def __repr__(self):
        """Names the interpreter as messages do."""
        return "Python {}.{}.{} at {}".format(*self.version, self.path)

    @property
    def usable(self):
        """Whether jobyard runs on it: new enough, with sqlite3, ssl and venv."""
        needed = {"venv", "sqlite3", "ssl"}
        return self.version[:2] >= OLDEST and needed <= self.modules


def parse_probe(output):
    """Reads what PROBE printed; None when it is not a Python that answers."""
    lines = output.strip().splitlines()
    if len(lines) < 3:
        return None
    version = tuple(int(part) for part in lines[0].split("."))
    modules = set(lines[2].split())
    if "broken" in lines[3:]:
        modules -= {"sqlite3", "ssl"}
    return Python(lines[1], version, modules)


def probe(command):
    """Asks one interpreter what it is; None when it cannot be run."""
    try:
        # -I keeps the caller's PYTHONPATH and site out of the answer.
        answer = subprocess.run(
            [command, "-I", "-c", PROBE],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            universal_newlines=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_probe(answer.stdout)


def choose(pythons):
    """Takes the first usable Python that has ensurepip, else the first usable one."""
    usable = [python for python in pythons if python.usable]
    for python in usable:
        if "ensurepip" in python.modules:
            return python
    return usable[0] if usable else None


def find_python(wanted=None):
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
        raise SetupFailed(no_python(seen, wanted))
    return python


def no_python(seen, wanted=None):
    """Says why none of the Pythons will do, and what to install."""
    lines = ["jobyard needs Python {}.{} or later with venv, sqlite3 and ssl.".format(*OLDEST)]
    for python in seen:
        lacks = sorted({"venv", "sqlite3", "ssl"} - python.modules)
        why = "without " + ", ".join(lacks) if lacks else "too old"
        lines.append("  found {!r}: {}".format(python, why))
    if not seen:
        lines.append("  {} cannot be run.".format(wanted) if wanted else "  found none at all.")
    lines.append("Install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew")
    lines.append("install python), or name one: make PYTHON=/path/to/python3.11 demo")
    return "\n".join(lines)


def fingerprint(root, python):
    """Sums up everything the environment is made from: one line, equal means up to date."""
    digest = hashlib.sha256()
    names = [os.path.join(place, "pyproject.toml") for place in DISTRIBUTIONS]
    for name in (*names, REQUIREMENTS, CONSTRAINTS, os.path.join("tools", "bootstrap.py")):
        with open(os.path.join(root, name), "rb") as source:
            content = source.read()
        digest.update("{} {}\n".format(name, len(content)).encode())
        digest.update(content)
    # The root is part of it: editable installs point into the checkout by its path.
    return "{} {} {}".format(digest.hexdigest(), python, root)


def venv_python(venv):
    """Gives the path of the interpreter in an environment."""
    if os.name == "nt":
        return os.path.join(venv, "Scripts", "python.exe")
    return os.path.join(venv, "bin", "python")


def read(path):
    """Reads a small text file; empty when there is none."""
    try:
        with open(path, encoding="utf-8") as source:
            return source.read().strip()
    except OSError:
        return ""


def write(path, text):
    """Writes a small text file whole or not at all."""
    fresh = "{}.{}".format(path, os.getpid())
    with open(fresh, "w", encoding="utf-8") as target:
        target.write(text + "\n")
    os.replace(fresh, path)


def is_whole(venv, root):
    """Whether the environment was finished for exactly this checkout as it is now."""
    stamp = read(os.path.join(venv, STAMP)).splitlines()
    if len(stamp) != 1 or not os.path.exists(venv_python(venv)):
        return False
    version = stamp[0].split(" ")[1] if stamp[0].count(" ") > 1 else ""
    return stamp[0] == fingerprint(root, version)


@contextlib.contextmanager
def locked(venv):
    """Lets one set-up of an environment run at a time; the lock goes with the process."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        yield
        return
    with open(venv + ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("waiting for another set-up of {}".format(venv))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(text):
    """Prints a line of progress at once."""
    print("bootstrap: " + text, flush=True)


def run(command, **options):
    """Runs a step of the set-up; raises CalledProcessError when it fails."""
    subprocess.run(command, check=True, **options)


def clear(venv):
    """Removes what an earlier run left; refuses to touch an environment it did not make."""
    if not os.path.lexists(venv):
        return
    if os.path.isdir(venv) and not os.listdir(venv):
        return
    if not os.path.exists(os.path.join(venv, MARK)):
        raise SetupFailed(
            "{0} is there but was not made by this script.\n"
            "Move it away, or choose another place: make VENV=.venv-jobyard demo".format(venv)
        )
    # The mark goes last, so that a removal that is interrupted can be taken up again.
    for name in os.listdir(venv):
        if name != MARK:
            path = os.path.join(venv, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.remove(path)


def create(venv, python):
    """Makes an empty environment with pip in it, or without when there is no ensurepip."""
    clear(venv)
    os.makedirs(venv, exist_ok=True)
    write(os.path.join(venv, MARK), "made by tools/bootstrap.py")
    say("creating {} with {!r}".format(venv, python))
    if "ensurepip" in python.modules:
        run([python.path, "-m", "venv", venv])
    else:
        say("this Python has no ensurepip (python3-venv is not installed): using the system's pip")
        run([python.path, "-m", "venv", "--without-pip", venv])


def pip_version(command):
    """Asks a pip for its version; an empty tuple when it cannot be run."""
    try:
        answer = subprocess.run(
            [*command, "--version"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            universal_newlines=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_pip_version(answer.stdout)


def parse_pip_version(output):
    """Reads `pip 25.1 from …`; an empty tuple when it says something else."""
    words = output.split()
    if len(words) < 2 or words[0] != "pip":
        return ()
    parts = words[1].split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


def find_pip(venv, python):
    """Finds the command that installs into the environment: its own pip, else the system's."""
    inside = venv_python(venv)
    if pip_version([inside, "-m", "pip"]):
        return [inside, "-m", "pip"]
    for command in ([python.path, "-m", "pip"], ["pip3"], ["pip"], [sys.executable, "-m", "pip"]):
        if pip_version(command) >= OLDEST_PIP:
            return [*command, "--python", inside]
    raise SetupFailed(
        "{!r} has no ensurepip, and no pip {}.{} or later was found beside it.\n"
        "Install one of them (Debian, Ubuntu: apt install python3-venv), then run this "
        "again.".format(python, *OLDEST_PIP)
    )


def install(pip, root):
    """Installs the tools, then all distributions together, at the versions in constraints."""
    quiet = ["-qq", "--disable-pip-version-check", "-c", CONSTRAINTS]
    say("installing the tools")
    run([*pip, "install", *quiet, "-r", REQUIREMENTS], cwd=root)
    # One command for all six, so that they find each other here and nowhere else. The build
    # backend is among the tools by now: no isolated build that would fetch another one.
    say("installing the {} distributions".format(len(DISTRIBUTIONS)))
    editable = [word for place in DISTRIBUTIONS for word in ("-e", editable_path(place))]
    run([*pip, "install", *quiet, "--no-build-isolation", *editable], cwd=root)
    run([*pip, "check", "--quiet", "--disable-pip-version-check"], cwd=root)


def editable_path(place):
    """Spells a distribution's folder so that pip cannot take it for a package's name."""
    return place + "[all]" if place == "." else "./" + place


def set_up(venv, root, wanted=None):
    """Makes the environment whole, from nothing or from what is there."""
    began = time.monotonic()
    python = find_python(wanted)
    version = "{}.{}.{}".format(*python.version)
    stamp = os.path.join(venv, STAMP)
    old = read(stamp).split(" ")
    keep = len(old) > 1 and old[1] == version and old[2:] == root.split(" ")
    if keep and probe(venv_python(venv)) is not None:
        say("the requirements have changed: renewing {}".format(venv))
        os.remove(stamp)
    else:
        create(venv, python)
    install(find_pip(venv, python), root)
    write(stamp, fingerprint(root, version))
    say("{} is ready ({:.0f} s)".format(venv, time.monotonic() - began))


def main(arguments=None):
    """Runs the script; returns the exit code."""
    parser = argparse.ArgumentParser(description="Set up the checkout's virtual environment.")
    parser.add_argument("--venv", default=os.path.join(ROOT, ".venv"), help="where it goes")
    parser.add_argument("--python", help="the Python to build on (default: found by itself)")
    options = parser.parse_args(arguments)
    venv = os.path.abspath(options.venv)
    if is_whole(venv, ROOT):
        return 0
    try:
        with locked(venv):
            # Another run may have finished while this one waited.
            if not is_whole(venv, ROOT):
                set_up(venv, ROOT, options.python)
    except SetupFailed as failure:
        print("bootstrap: {}".format(failure), file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as failure:
        words = [str(word) for word in failure.cmd]
        print("bootstrap: this step failed: {}".format(" ".join(words)), file=sys.stderr)
        print("bootstrap: the next run starts over", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bootstrap: interrupted; the next run starts over", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
