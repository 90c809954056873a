"""A process beside the test's own, which can be killed: `python -m jobyard_conformance.child`.

It reads the store's address from the environment, so that a password shows in no process list, and
writes a line of JSON to its output after each answer of the store.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from jobyard.backend import Backend
from jobyard.lease import Done, Lease, Outcome, Released, Retried
from jobyard.plugins import open_backend
from jobyard_conformance.builders import alone, settlement, spec, want
from jobyard_conformance.history import Recorder
from jobyard_conformance.racing import Racer

ADDRESS: Final = "JOBYARD_CONFORMANCE_URL"
"""The environment variable that carries the store's URL."""

LONG: Final = 600_000


async def work(handle: Backend, queue: str, seed: str) -> None:
    """Claim and settle until nothing is left; some runs are given back or fail at first."""
    chance = random.Random(seed)
    held: tuple[Lease, ...] = ()
    while True:
        ends = [settlement(lease, _end(chance, lease)) for lease in held]
        wish = want(queue, limit=chance.randint(1, 20), worker=seed, ttl_ms=LONG)
        answer = await handle.settle(ends, claim=wish)
        for end, result in zip(ends, answer.results, strict=True):
            outcome = type(end.outcome).__name__
            _tell(settled=end.lease.job_id, fence=end.lease.fence, result=result, outcome=outcome)
        claimed = answer.claimed
        held = () if claimed is None else claimed.leases
        if not held:
            return


async def hold(handle: Backend, queue: str, count: str, ttl_ms: str) -> None:
    """Claim jobs and sit on them."""
    claimed = await handle.claim(want(queue, limit=int(count), ttl_ms=int(ttl_ms)))
    _tell(held=[lease.job_id for lease in claimed.leases])
    await asyncio.Event().wait()


async def add(handle: Backend, queue: str, prefix: str) -> None:
    """Add jobs without end, telling of each once it is acknowledged."""
    number = 0
    while True:
        job = spec(f"{prefix}-{number}", queue=queue)
        await handle.add(alone(job))
        _tell(added=job.id)
        number += 1


async def fire(handle: Backend, key: str, ticks: str) -> None:
    """Fire every tick of a schedule that others fire too."""
    for tick in range(int(ticks)):
        jobs = (spec(f"{key}-{tick}", queue=key),)
        answer = await handle.fire(key, expected=tick, next_at=tick + 1, jobs=jobs)
        _tell(tick=tick, fired=answer is not None)


async def race(handle: Backend, queue: str, seed: str, path: str) -> None:
    """Work on a queue beside others, writing down a history, until nothing is left."""
    with Recorder(Path(path)) as recorder:
        session = recorder.observe(handle, seed)
        racer = Racer(session, random.Random(seed), queue=queue, clock=None)
        _tell(racing=seed)
        await racer.run(ttl_ms=100, patience=0.002)


ROLES: Final[Mapping[str, Callable[..., Awaitable[None]]]] = {
    "work": work,
    "hold": hold,
    "add": add,
    "fire": fire,
    "race": race,
}


def _end(chance: random.Random, lease: Lease) -> Outcome:
    again: list[Outcome] = [Released(), Retried(0, b"again")]
    if lease.fence < 3 and chance.random() < 0.2:
        return chance.choice(again)
    return Done(lease.job_id.encode())


def _tell(**line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def main(namespace: str, role: str, *args: str) -> None:
    """Open a handle on the store's own time and play a role."""
    handle = open_backend(os.environ[ADDRESS], namespace=namespace)
    await handle.open()
    try:
        await ROLES[role](handle, *args)
    finally:
        await handle.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
