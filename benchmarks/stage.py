"""A child process's side of the talk with the process that conducts the benchmarks."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, TextIO

Facts = dict[str, Any]


class Stage:
    """Says when the process is ready, and waits until it may begin, or shall end."""

    def __init__(self, answers: TextIO = sys.stdout) -> None:
        self._answers = answers

    def say(self, **facts: object) -> None:
        """Write a line."""
        self._answers.write(json.dumps(facts) + "\n")
        self._answers.flush()

    def begin(self) -> None:
        """Say that all is ready; return when told to begin."""
        self.say(ready=True)
        sys.stdin.readline()

    async def told(self) -> None:
        """Return when told something, and let other tasks run meanwhile."""
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
