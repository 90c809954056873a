"""Children: other processes on the same yard, some of which come to a violent end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from jobyard_conformance.child import ADDRESS
from jobyard_conformance.yard import Yard

__all__ = ["Child", "child"]

PATIENCE: Final = 600.0
"""Seconds to wait for a child's next line; on a busy machine what comes before may take minutes."""


class Child:
    """A running child process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def line(self) -> dict[str, Any]:
        """Wait for its next line."""
        found = await self._next()
        assert found is not None, f"the child ended early: {await self._complaint()}"
        return found

    async def lines(self) -> list[dict[str, Any]]:
        """Wait for its end, and tell all that it has said."""
        found: list[dict[str, Any]] = []
        while (each := await self._next()) is not None:
            found.append(each)
        complaint = await self._complaint()
        assert await self._process.wait() == 0, f"the child failed: {complaint}"
        return found

    async def kill(self) -> list[dict[str, Any]]:
        """Kill it without warning, and tell what it had said and nobody had heard.

        It may have come to its end by itself.
        """
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        found: list[dict[str, Any]] = []
        while (each := await self._next()) is not None:
            found.append(each)
        return found

    async def _next(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            return None  # the end, or a line that the kill has torn
        found: dict[str, Any] = json.loads(line)
        return found

    async def _complaint(self) -> str:
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode(errors="replace")


@asynccontextmanager
async def child(
    yard: Yard, role: str, *args: str, module: str = "jobyard_conformance.child"
) -> AsyncIterator[Child]:
    """Start a child on the yard; it is gone when the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        yard.namespace,
        role,
        *args,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, ADDRESS: yard.harness.address()},
    )
    try:
        yield Child(process)
    finally:
        if process.returncode is None:
            process.kill()
        # Reading to the end closes the pipes, which would else warn when they are collected.
        await process.communicate()
