"""K-026 to K-028: jobs that are defined once, with the type of their payload."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest
from mypy import api as mypy

from jobyard import Job, JobState, QueueService, Reason
from jobyard.errors import ConfigError, HandlerExists, InvalidOption, PayloadNotPortable

TYPED = Path(__file__).parent / "typing" / "definitions.py"


@dataclass
class Welcome:
    user_id: int
    name: str = "you"


class Point(msgspec.Struct):
    x: int


class Order(pydantic.BaseModel):
    lines: list[str]


@pytest.fixture
async def service():
    async with QueueService("memory://") as service:
        yield service


@pytest.mark.timeout(300)
def test_k026_a_type_checker_refuses_what_is_not_of_the_type() -> None:
    expected = [
        number
        for number, line in enumerate(TYPED.read_text(encoding="utf-8").splitlines(), 1)
        if line.endswith("# error")
    ]
    told, complaints, _ = mypy.run(
        ["--strict", "--no-error-summary", "--no-incremental", "--cache-dir", "/dev/null",
         "--config-file", "", str(TYPED)]
    )  # fmt: skip
    assert not complaints
    errors = [int(line.split(":")[1]) for line in told.splitlines() if ": error:" in line]
    assert sorted(set(errors)) == expected, told


@pytest.mark.parametrize(
    ("kind", "payload"),
    [(Welcome, Welcome(5)), (Point, Point(5)), (Order, Order(lines=["a"])), (list[int], [1, 2])],
)
async def test_k026_the_function_gets_what_was_enqueued(service, kind: Any, payload: Any) -> None:
    got: list[Any] = []

    async def note(payload):
        got.append(payload)
        return "done"

    note.__annotations__ = {"payload": kind}
    definition = service.job("q")(note)
    job = await definition.enqueue(payload)
    await service.run_until_idle()
    assert got == [payload]
    assert type(got[0]) is type(payload)
    found = await service.get_job(job.id)
    assert (found.name, found.result, found.data) == ("note", "done", payload)


async def test_k026_the_job_is_its_second_parameter(service) -> None:
    @service.job("q", "named")
    def remember(payload: Welcome, job: Job) -> list[Any]:
        return [payload.name, job.id, job.attempt]

    @service.job("q")
    async def nothing() -> str:
        return "nothing"

    job = await remember.enqueue(Welcome(1))
    empty = await nothing.enqueue()
    await service.run_until_idle()
    assert (await job.refresh()).result == ["you", job.id, 1]
    assert (await empty.refresh()).result == "nothing"


async def test_k027_defaults_apply_and_each_can_be_said_otherwise(service) -> None:
    @service.job("q", attempts=3, delay=60, channel="slow", priority="high", backoff=2)
    async def work(payload: int) -> None: ...

    job = await (await work.enqueue(1)).refresh()
    assert (job.attempts, job.channel, job.priority, job.state) == (
        3,
        "slow",
        10,
        JobState.DELAYED,
    )
    other = await work.enqueue(1, retries=0, run_at=None, delay=0, channel=None, priority=1)
    other = await other.refresh()
    assert (other.attempts, other.channel, other.priority, other.state) == (
        1,
        None,
        1,
        JobState.WAITING,
    )
    many = await work.enqueue_many([1, 2, 3], delay=0)
    assert [each.attempts for each in many] == [3, 3, 3]


async def test_k026_a_stored_payload_that_does_not_fit_ends_the_job_unrun(service) -> None:
    ran: list[int] = []

    @service.job("q", attempts=5)
    async def work(payload: Point) -> None:
        ran.append(payload.x)

    job = await work.enqueue(Point(1))
    await service.backend.change([job.id], _payload(b'{"x":"text"}'))
    await service.run_until_idle()
    ended = await service.get_job(job.id)
    assert (ended.state, ended.reason, ran) == (JobState.FAILED, Reason.CORRUPT, [])
    assert "the payload is no Point" in str(ended.error)


def _payload(data: bytes) -> Any:
    from jobyard.edits import SetPayload

    return SetPayload(data)


async def test_k026_what_is_not_of_the_type_is_refused_before_anything_is_stored(service) -> None:
    @service.job("q")
    async def work(payload: Point) -> None: ...

    for wrong in ({"x": 1}, None, Point("a")):  # type: ignore[arg-type]
        with pytest.raises(PayloadNotPortable):
            await work.enqueue(wrong)
    with pytest.raises(PayloadNotPortable, match=r"jobs\[1\]"):
        await work.enqueue_many([Point(1), 5])
    assert await service.list_jobs() == []


async def test_k025_a_definition_may_choose_its_codec(service) -> None:
    @service.job("q", codec="msgpack")
    async def work(payload: Welcome) -> int:
        return payload.user_id

    job = await work.enqueue(Welcome(7))
    (record,) = await service.backend.get([job.id])
    assert record.payload[:1] not in {b"{", b"["}
    await job.update_data(Welcome(8))
    await service.run_until_idle()
    assert (await job.refresh()).result == 8


def twice(payload: Welcome, job: Job) -> list[Any]:
    return [payload.user_id * 2, job.name]


outside = QueueService("memory://definitions")
twice = outside.job("q", kind="process")(twice)


async def test_b07_a_definition_may_run_in_a_process_of_its_own() -> None:
    async with outside:
        job = await twice.enqueue(Welcome(21))  # type: ignore[attr-defined]
        async with asyncio.timeout(60):
            await outside.run_until_idle()
        done = await job.refresh()
        assert (done.result, done.error) == ([42, "twice"], None)


async def test_k028_a_name_is_defined_once(service) -> None:
    @service.job("q", "a")
    async def one(payload: int) -> None: ...

    with pytest.raises(HandlerExists):

        @service.job("q", "a")
        async def two(payload: int) -> None: ...

    @service.job("q", "a", replace=True)
    async def three(payload: str) -> None: ...

    with pytest.raises(PayloadNotPortable):
        await three.enqueue(5)


def test_a_definition_is_called_as_its_function() -> None:
    service = QueueService("memory://")

    @service.job("q")
    def double(payload: int) -> int:
        """Twice as much."""
        return payload * 2

    assert double(4) == 8
    assert double.__doc__ == "Twice as much."
    assert repr(double) == "<Definition q/double of int>"


def untyped(payload): ...
def of_the_job(job: Job): ...
def of_three(a: int, b: int, c: int): ...
def of_nothing_plain(payload: QueueService): ...
def of_what_is_not_there(payload: "Missing"): ...  # type: ignore[name-defined]  # noqa: F821, UP037


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (untyped, "annotate 'payload'"),
        (of_the_job, "annotate 'job'"),
        (of_three, "takes more"),
        (of_nothing_plain, "cannot be the type"),
        (of_what_is_not_there, "cannot be read"),
    ],
)
def test_what_cannot_be_defined_is_refused_where_it_is_written(function, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        QueueService("memory://").job("q")(function)


def test_wrong_defaults_are_refused_where_they_are_written() -> None:
    with pytest.raises(InvalidOption, match="attempts"):
        QueueService("memory://").job("q", attempts=0)
    with pytest.raises(TypeError, match="atempts"):
        QueueService("memory://").job("q", atempts=1)  # type: ignore[call-arg]
