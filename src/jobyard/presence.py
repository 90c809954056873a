"""Workers as the store knows them."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class WorkerState(StrEnum):
    """What a worker is doing."""

    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's latest word of itself; `started_at` and `seen_at` are the store's times.

    The store sets both instants; what a worker sends in them is not read.
    """

    id: str
    host: str
    pid: int
    queues: tuple[str, ...]
    concurrency: int
    active: int = 0
    state: WorkerState = WorkerState.RUNNING
    started_at: int = 0
    seen_at: int = 0
