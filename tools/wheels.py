"""Builds the six distributions, and tries their wheels where nothing else of the checkout is.

    python tools/wheels.py [--keep DIR [--build-only]]

What works only because the checkout is there fails here: a file that is not packed, an import
that no distribution asks for, an entry point that is misspelt.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
PLACES = (
    ".",
    "backends/sql",
    "backends/sqlite",
    "backends/postgres",
    "backends/redis",
    "conformance",
)
NEEDED = ("/py.typed", ".dist-info/METADATA", ".dist-info/licenses/LICENSE")


def run(command: Sequence[str | Path], *, inside: Path = ROOT) -> None:
    """Runs one command and stops when it fails."""
    print("+", *command, flush=True)
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([str(word) for word in command], cwd=inside, env=outside, check=True)


def build(folder: Path) -> list[Path]:
    """Builds the sources of all distributions, and from those alone the wheels."""
    for place in PLACES:
        hatch: list[str | Path] = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d"]
        run([*hatch, folder], inside=ROOT / place)
    pip = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation"]
    run([*pip, "-w", folder, *sorted(folder.glob("*.tar.gz"))])
    return sorted(folder.glob("*.whl"))


def look_into(wheel: Path) -> list[str]:
    """Lists what a wheel lacks, and what it should not have."""
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
    package = wheel.name.partition("-")[0]
    lacks = [f"no {end}" for end in NEEDED if not any(name.endswith(end) for name in names)]
    strays = [name for name in names if not name.startswith((f"{package}/", f"{package}-"))]
    return lacks + [f"stray {name}" for name in strays]


def try_out(wheels: Sequence[Path], folder: Path) -> None:
    """Installs the wheels into a bare environment; runs the contract and the demo from them."""
    venv.create(folder / "env", with_pip=True)
    scripts = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    named = [f"jobyard[all] @ {wheel.as_uri()}" for wheel in wheels if is_core(wheel)]
    others = [wheel for wheel in wheels if not is_core(wheel)]
    run([python, "-m", "pip", "install", "-qq", "-c", CONSTRAINTS, *named, *others])
    empty = folder / "empty"
    empty.mkdir()
    nowhere = f"sqlite:///{empty}/none/none.db"
    for url in ("memory://conformance", f"sqlite:///{empty}/{{namespace}}.db"):
        suite = ("-m", "pytest", "-q", "--pyargs", "jobyard_conformance.run")
        places = ("--jobyard-url", url, "--jobyard-unreachable", nowhere)
        run([python, *suite, *places], inside=empty)
    run([python, "-m", "jobyard", "demo"], inside=empty)
    run([scripts / "jobyard", "--help"], inside=empty)


def is_core(wheel: Path) -> bool:
    """Whether a wheel is the one of jobyard itself."""
    return wheel.name.startswith("jobyard-")


def main() -> int:
    """Runs the script; returns the exit code."""
    parser = argparse.ArgumentParser(description="Build the wheels and try them.")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the wheels in DIR")
    parser.add_argument("--build-only", action="store_true", help="do not try them")
    given = parser.parse_args()
    keep = given.keep
    with tempfile.TemporaryDirectory(prefix="jobyard-wheels-") as temporary:
        folder = Path(temporary)
        target = keep.resolve() if keep else folder / "wheels"
        target.mkdir(parents=True, exist_ok=True)
        wheels = build(target)
        faults = [f"{wheel.name}: {fault}" for wheel in wheels for fault in look_into(wheel)]
        if len(wheels) != len(PLACES):
            faults.append(f"{len(wheels)} wheels instead of {len(PLACES)}")
        if faults:
            print(*faults, sep="\n")
            return 1
        if given.build_only:
            return 0
        try:
            try_out(wheels, folder)
        except subprocess.CalledProcessError as failure:
            print(f"failed with exit code {failure.returncode}")
            return 1
    print("The six wheels work by themselves.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
