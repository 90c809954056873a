"""K-025 to K-027: codecs and typed definitions, through the store."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from jobyard import JobState, Reason
from jobyard.edits import SetPayload


@dataclass
class Welcome:
    user_id: int
    tags: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("codec", "payload"),
    [("json", {"a": 1.0}), ("msgpack", {"a": b"\xff", 5: None}), ("raw", bytes(range(256)))],
)
async def test_k025_a_payload_goes_through_its_codec(service, codec, payload) -> None:
    got = []

    @service.handler("q", "n")
    async def note(job):
        got.append(job.data)

    await service.add_job("q", "n", payload, codec=codec)
    broken = await service.add_job("q", "n", payload, codec=codec if codec != "raw" else "msgpack")
    await service.backend.change([broken.id], SetPayload(b"\xc1"))
    await service.run_until_idle()
    assert got == [payload]
    ended = await service.get_job(broken.id)
    assert (ended.state, ended.reason) == (JobState.FAILED, Reason.CORRUPT)
    assert "PayloadDecodeError" in ended.error.type


async def test_k026_k027_a_definition_brings_type_and_defaults(service) -> None:
    got = []

    @service.job("q", attempts=4, priority="high", channel="eu")
    async def greet(payload: Welcome) -> int:
        got.append(payload)
        return payload.user_id

    job = await greet.enqueue(Welcome(1, ("a",)))
    other = await greet.enqueue(Welcome(2), attempts=1, channel=None)
    await service.run_until_idle()
    assert got == [Welcome(1, ("a",)), Welcome(2)]
    job, other = await job.refresh(), await other.refresh()
    assert (job.attempts, job.priority, job.channel, job.result) == (4, 10, "eu", 1)
    assert (other.attempts, other.priority, other.channel, other.result) == (1, 10, None, 2)


async def test_k027_a_schedule_of_a_definition_has_its_defaults(service) -> None:
    """But for the delay, which is for an `enqueue`: the job of a tick is due at the tick."""

    @service.job("q", delay=3600, attempts=3, priority="high")
    async def tick() -> str:
        return "done"

    await tick.schedule("plain", every=30 * 86_400, immediately=True)
    await tick.schedule("other", every=30 * 86_400, immediately=True, retries=0, priority="low")
    assert await service.run_until_idle() == 2
    jobs = await service.list_jobs("q")
    assert sorted((job.attempts, job.priority, job.result) for job in jobs) == [
        (1, -10, "done"),
        (3, 10, "done"),
    ]
