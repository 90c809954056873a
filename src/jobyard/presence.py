"""Workers as the store knows them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from jobyard.errors import StoreCorrupt


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


_decode: Final = msgspec.msgpack.Decoder(WorkerInfo).decode


def read_worker(packed: bytes) -> WorkerInfo:
    """Read what a worker said of itself, in MessagePack; raise `StoreCorrupt` for what is none."""
    try:
        return _decode(packed)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        msg = "what a worker has said of itself cannot be read back"
        raise StoreCorrupt(msg) from None
