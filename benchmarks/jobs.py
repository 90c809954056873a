"""The jobs of the benchmarks, and putting many of them into a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from jobyard.backend import Backend
from jobyard.ids import new_job_id
from jobyard.job import JobSpec
from jobyard.plugins import open_backend

QUEUE: Final = "bench"
NAME: Final = "send"
FOREIGN: Final = "another"
"""The name of jobs that no handler of the benchmarks serves."""

CHUNK: Final = 10_000
"""How many jobs are put into a store in one call."""

FAR_MS: Final = 7 * 24 * 3600 * 1000
"""How late a delayed job is due that must not become due during a run."""

encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder().decode


def payload(number: int) -> dict[str, object]:
    """Return the payload of a job."""
    return {"user_id": number, "email": "user@example.com"}


def specs(numbers: Sequence[int], *, name: str = NAME, delay_ms: int = 0) -> tuple[JobSpec, ...]:
    """Make jobs as a backend takes them."""
    return tuple(
        JobSpec(
            id=new_job_id(),
            queue=QUEUE,
            name=name,
            payload=encode(payload(number)),
            delay_ms=delay_ms,
        )
        for number in numbers
    )


async def opened(url: str) -> Backend:
    """Open a backend by URL, prepared."""
    backend = open_backend(url)
    await backend.open()
    await backend.prepare()
    return backend


async def fill(url: str, numbers: range, *, name: str = NAME, delay_ms: int = 0) -> None:
    """Add jobs as fast as the backend takes them."""
    backend = await opened(url)
    try:
        for start in range(0, len(numbers), CHUNK):
            part = numbers[start : start + CHUNK]
            await backend.add((specs(part, name=name, delay_ms=delay_ms),))
    finally:
        await backend.close()
