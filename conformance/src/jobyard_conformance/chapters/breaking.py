"""Breaking off: a run through the contract that ends at each of its calls, in turn."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from jobyard.backend import Backend, Capability
from jobyard.job import JobRecord
from jobyard.query import JobQuery
from jobyard_conformance.breaking import (
    Broken,
    Moment,
    Steps,
    broken_at,
    calls_made,
    felled_at,
    repeating_at,
)
from jobyard_conformance.chapter import NOT_CLAIMED, Chapter, requires
from jobyard_conformance.clauses import clause
from jobyard_conformance.history import (
    Recorder,
    check,
    counterexample,
    read_history,
    scheduled,
)
from jobyard_conformance.processes import child
from jobyard_conformance.racing import work_off
from jobyard_conformance.scenario import LASTS, Scenario
from jobyard_conformance.yard import Yard, listed


class Breaking(Chapter):
    """What is left is whole, whatever call was the last."""

    chapter = "breaking"

    @clause("ALL-1", "ALL-5", "REAP-1")
    async def test_a_handle_that_ends_in_any_call_loses_nothing(
        self, yard: Yard, tmp_path: Path
    ) -> None:
        runs: list[Scenario] = []
        path = tmp_path / "runs.jsonl"
        with Recorder(path) as recorder:
            ended = False
            while not ended:
                runs.append(Scenario(f"{len(runs) + 1}"))
                ended = await _play_until(yard, runs[-1], len(runs), recorder)
            after = recorder.observe(yard.backend, "after")
            await work_off(after, yard.clock)
            await after.final(drained=True)
        await _verify(yard, runs, [path])

    @clause("ALL-8", "ALL-1", "REAP-1", "SCHED-5")
    @requires(Capability.SHARED)
    @pytest.mark.case("F01", "F02", "F04", "F05", "F07", "F08", "F09", "F10", "F11")
    @pytest.mark.timeout(900)  # a process for each call, on a disk that may be slow
    async def test_a_process_killed_at_any_call_loses_nothing(
        self, yard: Yard, tmp_path: Path
    ) -> None:
        args = (str(yard.now), str(tmp_path))
        async with child(yard, *args, module="jobyard_conformance.kills") as killer:
            told = await killer.lines()
        killed = [line["status"] for line in told[:-1]]
        assert killed == [-signal.SIGKILL] * len(killed)
        assert told[-1]["status"] == 0
        yard.pass_ms(told[-1]["now"] - yard.now)
        runs = [Scenario(line["run"]) for line in told]
        path = tmp_path / "after.jsonl"
        with Recorder(path) as recorder:
            after = recorder.observe(yard.backend, "after")
            await work_off(after, yard.clock)
            await after.final(drained=True)
        await _verify(yard, runs, [*(tmp_path / f"{run.name}.jsonl" for run in runs), path])

    @clause("ALL-8", "ALL-6", "ALL-1")
    @requires(Capability.DURABLE)
    @pytest.mark.case("N02", on=("postgres", "redis"))
    async def test_a_server_killed_at_any_call_loses_nothing(
        self, yard: Yard, tmp_path: Path, fallen_steps: Steps
    ) -> None:
        control = yard.harness.control()
        if control is None:
            pytest.skip(f"{NOT_CLAIMED}a control() of the harness")

        async def fell() -> None:
            await control.kill()
            await control.start()

        with Recorder(tmp_path / "runs.jsonl") as recorder:
            calls, expected = await _outcome(yard, "0", recorder, repeating_at(yard.backend, 0))
            for at, moment in fallen_steps.of(len(calls)):
                handle = felled_at(yard.backend, at, moment, fell)
                _, found = await _outcome(yard, f"{at}-{moment}", recorder, handle)
                assert found == expected, f"the server fell {moment} call {at}, {calls[at - 1]}"

    @clause("ALL-6", "ADD-3", "CLAIM-8", "SETTLE-3")
    @pytest.mark.case("N05", "N06", "N07", "N08")
    async def test_any_call_whose_answer_was_lost_can_be_repeated(
        self, yard: Yard, tmp_path: Path
    ) -> None:
        with Recorder(tmp_path / "runs.jsonl") as recorder:
            calls, expected = await _outcome(yard, "0", recorder, repeating_at(yard.backend, 0))
            for at, method in enumerate(calls, start=1):
                handle = repeating_at(yard.backend, at)
                _, found = await _outcome(yard, f"{at}", recorder, handle)
                assert found == expected, f"call {at}, {method}, was made twice: it made a change"


def _stop() -> None:
    raise Broken


async def _play_until(yard: Yard, run: Scenario, at: int, recorder: Recorder) -> bool:
    """Play a run whose handle ends in a call; tell whether it came to its end before."""
    handle = await yard.another()
    session = recorder.observe(broken_at(handle, at, Moment.DURING, _stop), run.name)
    begun = yard.now
    try:
        await run.play(session.backend, yard.clock)
    except Broken:
        return False
    finally:
        await handle.close()
        yard.pass_ms(begun + LASTS - yard.now)
    return True


async def _verify(yard: Yard, runs: Sequence[Scenario], paths: Sequence[Path]) -> None:
    """Check the histories of all runs, and of each run that what belongs together is together."""
    history = read_history(paths)
    if faults := check(history):
        raise AssertionError(counterexample(history, faults))
    fired = {each.key: each.fired for each in await scheduled(yard.backend)}
    for run in runs:
        for info in await yard.backend.queues([run.queue]):
            total = (await yard.backend.metrics(run.queue, since=0, until=1)).total
            assert total.completed == info.counts.completed, run.name
        ticked = await yard.backend.get([run.id("t1"), run.id("t2")])
        if run.key in fired:
            assert [each is not None for each in ticked] == [fired[run.key] == 1] * 2, run.name


async def _outcome(
    yard: Yard, name: str, recorder: Recorder, handle: Backend
) -> tuple[list[str], object]:
    """Play a run to its end on a handle that counts; tell its calls, and all that is left."""
    run = Scenario(name)
    begun = yard.now
    await run.play(handle, yard.clock)
    await work_off(recorder.observe(yard.backend, run.name), yard.clock)
    yard.pass_ms(begun + LASTS * 2 - yard.now)
    jobs = await listed(yard.backend, JobQuery(queue=run.queue))
    total = (await yard.backend.metrics(run.queue, since=0, until=1)).total
    counts = [info.counts for info in await yard.backend.queues([run.queue, run.swept])]
    total = msgspec.structs.replace(total, queue="")
    return calls_made(handle), ([_relative(run, job, begun) for job in jobs], total, counts)


def _relative(run: Scenario, job: JobRecord, begun: int) -> dict[str, object]:
    """Show a job without what differs from run to run: its number, fence, name, absolute times."""
    shown: dict[str, object] = msgspec.structs.asdict(job)
    for name, value in shown.items():
        if name.endswith("_at") and isinstance(value, int):
            shown[name] = value - begun
    return shown | {
        "no": 0,
        "fence": 0,
        "id": job.id.removeprefix(run.name),
        "queue": "",
        "depends_on": [each.removeprefix(run.name) for each in job.depends_on],
    }
