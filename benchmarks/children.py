"""Other processes, seen from the one that conducts the benchmarks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

ROOT: Final = Path(__file__).resolve().parent.parent

Facts = dict[str, Any]


class ChildFailed(Exception):
    """A child process ended without an answer."""


class Child:
    """A process that gets ready, begins when told to, and answers with facts."""

    def __init__(self, role: str, url: str, **options: object) -> None:
        self._start(
            role, [sys.executable, "-m", "benchmarks.child", role, url, json.dumps(options)]
        )

    def _start(self, role: str, command: Sequence[str], **how: Any) -> None:
        self._role = role
        self._process: subprocess.Popen[str] = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **how
        )

    def _read(self) -> Facts:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ChildFailed(f"the process for {self._role!r} ended without an answer")
        facts: Facts = json.loads(line)
        return facts

    def wait_ready(self) -> Facts:
        """Wait until it is ready; return what it says of that moment."""
        return self._read()

    def tell(self) -> None:
        """Let it begin, or end."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def result(self) -> Facts:
        """Wait for its answer and its end."""
        facts = self._read()
        self._process.communicate()
        return facts

    def __enter__(self) -> Self:
        """Wait until it is ready."""
        self.wait_ready()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave no process behind."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def measure(role: str, url: str, **options: object) -> Facts:
    """Run one role in a process of its own."""
    with Child(role, url, **options) as child:
        child.tell()
        return child.result()


def measure_together(role: str, url: str, count: int, **options: object) -> Sequence[Facts]:
    """Run one role in several processes that begin at once."""
    children = [Child(role, url, **options) for _ in range(count)]
    try:
        for child in children:
            child.wait_ready()
        for child in children:
            child.tell()
        return [child.result() for child in children]
    finally:
        for child in children:
            child.__exit__(None, None, None)
