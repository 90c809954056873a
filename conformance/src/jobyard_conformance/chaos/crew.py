"""The processes of a chaos run, as seen from the one that directs it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import msgspec

from jobyard_conformance.chaos.post import Post

__all__ = ["Crew", "Member", "crew_of"]

LOOK_SECONDS: Final = 0.05
SHOWN_LINES: Final = 30


@dataclass(slots=True)
class Member:
    """One process; `status` is its exit code once it has ended."""

    post: Post
    pid: int
    is_frozen: bool = False
    is_leaving: bool = False
    """It was killed, or asked to end."""
    status: int | None = None

    def __str__(self) -> str:
        """Name it."""
        return f"{self.post.name} ({self.pid})"

    def said(self) -> str:
        """Show the last that it said."""
        if not self.post.log.exists():
            return ""
        lines = self.post.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-SHOWN_LINES:])


class Crew:
    """Processes that come and go; `everybody` are those of the past too."""

    def __init__(self, nursery: Process, template: Post) -> None:
        self._nursery = nursery
        self._template = template
        self._lock = asyncio.Lock()
        self._numbers = count(1)
        self.everybody: list[Member] = []

    def present(self, *roles: str) -> list[Member]:
        """Give those who are there and not on their way out, all or of some roles."""
        return [
            each
            for each in self.everybody
            if not each.is_leaving and (not roles or each.post.role in roles)
        ]

    async def hire(self, role: str, *, lease: float | None = None) -> Member:
        """Start a process."""
        post = msgspec.structs.replace(
            self._template,
            role=role,
            name=f"{role}-{next(self._numbers)}",
            lease=self._template.lease if lease is None else lease,
        )
        answer = await self._order(post=msgspec.to_builtins(post))
        member = Member(post, answer["pid"])
        self.everybody.append(member)
        return member

    async def kill(self, member: Member) -> None:
        """Kill a process without warning, and wait until it is gone."""
        member.is_leaving = True
        await self._send(member, signal.SIGKILL)
        await self.see_off(member)

    async def freeze(self, member: Member) -> None:
        """Let a process stand still where it is."""
        member.is_frozen = True
        await self._send(member, signal.SIGSTOP)

    async def thaw(self, member: Member) -> None:
        """Let it go on."""
        member.is_frozen = False
        await self._send(member, signal.SIGCONT)

    async def ask_to_end(self, member: Member) -> None:
        """Ask a process to end in order."""
        member.is_leaving = True
        await self._send(member, signal.SIGTERM)

    async def see_off(self, member: Member) -> int:
        """Wait until a process has ended, and tell its exit code."""
        while member.status is None:
            await self.look_after(member)
            if member.status is None:
                await asyncio.sleep(LOOK_SECONDS)
        return member.status

    async def look_after(self, member: Member) -> None:
        """See whether a process has ended."""
        if member.status is None:
            member.status = (await self._order(pid=member.pid))["status"]

    def fallen(self) -> Iterator[Member]:
        """Give those who ended otherwise than they were asked to."""
        for each in self.everybody:
            killed = each.is_leaving and each.status in {-signal.SIGKILL, -signal.SIGTERM}
            if each.status is not None and each.status != 0 and not killed:
                yield each

    async def _send(self, member: Member, number: signal.Signals) -> None:
        await self._order(pid=member.pid, signal=int(number))

    async def _order(self, **order: object) -> dict[str, Any]:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        async with self._lock:
            self._nursery.stdin.write(json.dumps(order).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await self._nursery.stdout.readline())
        return answer


@asynccontextmanager
async def crew_of(template: Post, folder: Path) -> AsyncIterator[Crew]:
    """Make ready to start processes; none of them is left when the block ends."""
    scheme = template.url.partition(":")[0]
    with (folder / "nursery.log").open("wb") as log:
        nursery = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "jobyard_conformance.chaos.nursery", scheme),
            stdin=PIPE,
            stdout=PIPE,
            stderr=log,
        )
    try:
        yield Crew(nursery, template)
    finally:
        # Its input ends, and with it all that it started.
        await nursery.communicate(b"")
