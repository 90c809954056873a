"""Runs the checks of the checkout one after the other, and stops at the first that fails.

    python tools/check.py [STEP ...]

Without a step it runs all of them: this is `make test`, and the environments of tox.ini run
the same steps one by one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parent.parent

# What mypy reads; a folder without any module is left out.
TYPED = ("src", "backends/*/src", "conformance/src", "tests", "backends/*/tests",
         "conformance/tests", "tools", "benchmarks", "examples")  # fmt: skip

# import-linter's own command is a script, and scripts are not called: only modules are.
LAYERS = "import sys, importlinter.cli as c; sys.exit(c.lint_imports(no_logo=True, no_cache=True))"


def steps() -> dict[str, list[list[str]]]:
    """Gives the commands of each step, in the order in which the steps run."""
    python = sys.executable
    folders = [path for glob in TYPED for path in sorted(ROOT.glob(glob))]
    typed = [str(path.relative_to(ROOT)) for path in folders if any(path.rglob("*.py"))]
    return {
        "lint": [[python, "-m", "ruff", "check"]],
        "format": [[python, "-m", "ruff", "format", "--check"]],
        "types": [[python, "-m", "mypy", *typed]],
        "layers": [[python, "-c", LAYERS]],
        "api": [[python, "tools/public_api.py"]],
        "sync": [[python, "tools/sync.py", "--check"]],
        "docs": [[python, "tools/reference.py", "--check"]],
        # Tests mostly wait, for processes and servers: half of them run beside the others.
        "tests": [
            [python, "-m", "pytest", "tests", "backends/redis"],
            [
                python,
                "-m",
                "pytest",
                "backends/sql",
                "backends/sqlite",
                "backends/postgres",
                "conformance/tests",
            ],
        ],
    }


def run(name: str, commands: list[list[str]]) -> int:
    """Runs one step, saying what runs and how long it took; returns its exit code.

    Its commands run side by side. What the first says is seen at once, what the others say when
    they and those before them have ended.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(Started(name, command)) for command in commands]
        codes = [each.finish() for each in started]
    code = next(filter(None, codes), 0)
    verdict = "passed" if code == 0 else f"FAILED (exit code {code})"
    print(f"== {name}: {verdict} in {time.monotonic() - began:.1f} s\n", flush=True)
    return code


class Started:
    """A command that runs; it is ended with the block."""

    def __init__(self, name: str, command: list[str]) -> None:
        """Prepares what it takes to start."""
        shown = shlex.join(["python" if word == sys.executable else word for word in command])
        self.title = f"== {name}: {shown}"
        self.command = command

    def __enter__(self) -> Self:
        """Starts the command; what it says goes into a file."""
        self.said = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, stdout=self.said, stderr=subprocess.STDOUT
        )
        return self

    def finish(self) -> int:
        """Shows what the command says, from its beginning, until it has ended."""
        print(self.title, flush=True)
        at = 0
        while True:
            code = self.process.poll()
            at = self.show(at)
            if code is not None:
                return code
            time.sleep(0.1)

    def show(self, at: int) -> int:
        """Shows what came after a place; returns the next."""
        found = os.pread(self.said.fileno(), 1 << 24, at)
        sys.stdout.buffer.write(found)
        sys.stdout.flush()
        return at + len(found)

    def __exit__(self, *raised: object) -> None:
        """Ends the command, if it runs; it gets the time to end what it has started."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
            self.process.kill()
        self.process.wait()
        self.said.close()


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
