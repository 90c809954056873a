"""Looking: filters, pages, and what a queue holds."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from jobyard.job import JobState
from jobyard.limit import LimitInfo

T = TypeVar("T")


class JobQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs to list, in insertion order (or against it); `None` filters nothing.

    `after` is the `next` of the page before, given back unread with the same filters.
    `created_from` is inclusive, `created_until` exclusive.
    """

    queue: str | None = None
    states: frozenset[JobState] | None = None
    names: frozenset[str] | None = None
    created_from: int | None = None
    created_until: int | None = None
    newest_first: bool = False
    after: str | None = None
    limit: int = 100


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some of the answer; `next` leads to the rest, `None` when this was all."""

    items: tuple[T, ...]
    next: str | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs are in each state."""

    waiting: int = 0
    delayed: int = 0
    blocked: int = 0
    active: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    stalled: int = 0
    dead: int = 0

    @property
    def total(self) -> int:
        """The number of jobs there are."""
        return sum(msgspec.structs.astuple(self))


class QueueInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A queue: its name, whether it is paused, its jobs by state, its earliest waiting due.

    `limits` are those of the queue as a whole, then those of its names, by name.
    """

    name: str
    paused: bool
    counts: Counts
    oldest_due: int | None = None
    limits: tuple[LimitInfo, ...] = ()
