"""Calls: what the machine does on one side in more than one call, or has to build for one."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

from jobyard.edits import Sweep
from jobyard.lease import Lease, LogLine, Note, Progress, Reaped
from jobyard_conformance.model import views
from jobyard_conformance.model.shapes import Sentence
from jobyard_conformance.model.twins import Side

__all__ = ["as_list", "note_of", "reap_all", "shown", "sweep_all"]

T = TypeVar("T")

ROUNDS: Final = 100
"""How often a reap or a sweep is repeated until nothing is left."""


def shown(side: Side) -> dict[str, object]:
    """Show the jobs of a side."""
    return {each.id: views.job(each) for each in side.records.values()}


def note_of(sentence: Sentence, lease: Lease) -> Note:
    """Build what a run reports."""
    if sentence.line is None:
        return Progress(lease, sentence.value)
    return LogLine(lease, sentence.line, sentence.keep)


async def as_list(call: Awaitable[Sequence[T]]) -> list[T]:
    """Wait for a sequence and make it a list, so that it equals one of another type."""
    return list(await call)


async def reap_all(side: Side, limit: int) -> list[Reaped]:
    """Reap until nothing is left."""
    found: list[Reaped] = []
    for _ in range(ROUNDS):
        some_more = await side.acting.reap(limit=limit)
        found += some_more
        if not some_more:
            break
    return views.reaped(found)


async def sweep_all(side: Side, sweep: Sweep, limit: int) -> tuple[int, bool]:
    """Sweep until nothing is left."""
    removed = 0
    for _ in range(ROUNDS):
        step = await side.acting.sweep(sweep, limit=limit)
        removed += step.removed
        if not step.more:
            return removed, True
    return removed, False
