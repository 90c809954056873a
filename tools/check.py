"""Runs the checks of the checkout one after the other, and stops at the first that fails.

    python tools/check.py [STEP ...]

Without a step it runs all of them: this is `make test`, and the environments of tox.ini run
the same steps one by one.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What mypy reads; a folder without any module is left out.
TYPED = ("src", "backends/*/src", "conformance/src", "tests", "backends/*/tests",
         "conformance/tests", "tools", "benchmarks", "examples")  # fmt: skip

# import-linter's own command is a script, and scripts are not called: only modules are.
LAYERS = "import sys, importlinter.cli as c; sys.exit(c.lint_imports(no_logo=True, no_cache=True))"


def steps() -> dict[str, list[str]]:
    """Gives the command of each step, in the order in which they run."""
    python = sys.executable
    folders = [path for glob in TYPED for path in sorted(ROOT.glob(glob))]
    typed = [str(path.relative_to(ROOT)) for path in folders if any(path.rglob("*.py"))]
    return {
        "lint": [python, "-m", "ruff", "check"],
        "format": [python, "-m", "ruff", "format", "--check"],
        "types": [python, "-m", "mypy", *typed],
        "layers": [python, "-c", LAYERS],
        "api": [python, "tools/public_api.py"],
        "sync": [python, "tools/sync.py", "--check"],
        "docs": [python, "tools/reference.py", "--check"],
        "tests": [python, "-m", "pytest"],
    }


def run(name: str, command: list[str]) -> int:
    """Runs one step, saying what runs and how long it took; returns its exit code."""
    shown = shlex.join(["python" if word == sys.executable else word for word in command])
    print(f"== {name}: {shown}", flush=True)
    began = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    verdict = "passed" if code == 0 else f"FAILED (exit code {code})"
    print(f"== {name}: {verdict} in {time.monotonic() - began:.1f} s\n", flush=True)
    return code


def main() -> int:
    """Runs the script; returns the exit code of the first step that failed, else 0."""
    known = steps()
    parser = argparse.ArgumentParser(description="Run the checks of the checkout.")
    parser.add_argument("steps", nargs="*", metavar="STEP", help=", ".join(known))
    chosen = parser.parse_args().steps or list(known)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        parser.error(f"no such step: {', '.join(unknown)}; there are {', '.join(known)}")
    for name in chosen:
        code = run(name, known[name])
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
