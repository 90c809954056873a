"""Kill -9 at every step and at any moment: what was acknowledged is there, and nothing by half."""

from __future__ import annotations

import asyncio
import random
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from backends.sqlite.tests.audit import Dump, dump, reading, troubles
from backends.sqlite.tests.handles import Start, at, line, rest_of, want
from backends.sqlite.tests.scenario import CALLS, Run, add_tied, make, play, take_tied

from jobyard.clock import ManualClock
from jobyard.job import JobRecord, JobState
from jobyard.lease import Done, Settlement, Source
from jobyard.query import JobQuery
from jobyard_sqlite.backend import SqliteBackend

CHECKOUT = Path(__file__).parents[3]


@contextmanager
def dying(folder: Path, mode: str) -> Iterator[Iterator[tuple[Path, int, int]]]:
    """Let a child die at each step of the scenario; give its file, its call and its exit code."""
    process = subprocess.Popen(
        [sys.executable, "-m", "backends.sqlite.tests.scenario", str(folder), mode],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    told, go_on = process.stdout, process.stdin

    def each() -> Iterator[tuple[Path, int, int]]:
        for text in told:
            name, call, code = text.split()
            yield folder / name, int(call), int(code)
            for file in folder.glob(f"{name}*"):
                file.unlink()
            go_on.write("\n")
            go_on.flush()

    try:
        yield each()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.case("F15", "B28")
async def test_a_namespace_is_made_as_a_whole_whenever_its_maker_dies(tmp_path: Path) -> None:
    await make(tmp_path / "whole.db")
    whole = dump(tmp_path / "whole.db")
    codes: Counter[int] = Counter()
    there: Counter[bool] = Counter()
    with dying(tmp_path, "prepare") as children:
        for path, _, code in children:
            codes[code] += 1
            if path.exists():
                assert dump(path) in ({}, whole), path.name
            backend = at(path)
            await backend.open()
            there[await backend.is_prepared()] += 1
            await backend.prepare()
            await backend.close()
            assert dump(path) == whole, path.name
            assert troubles(path) == []
    assert codes == {-signal.SIGKILL: codes.total() - 1, 0: 1}
    assert there[False] > 20
    assert there[True] >= 2


@pytest.mark.case("N02", "F07", "F11")
async def test_a_call_is_done_as_a_whole_whenever_its_caller_dies(tmp_path: Path) -> None:
    seen: list[Dump] = []
    await make(tmp_path / "jobs.db")
    backend = await play(tmp_path / "jobs.db", lambda _: seen.append(dump(tmp_path / "jobs.db")))
    await backend.close()
    ends: Counter[tuple[int, int, bool]] = Counter()
    with dying(tmp_path, "calls") as children:
        for path, call, code in children:
            found = dump(path)
            assert found in (seen[call], seen[call + 1]), path.name
            assert troubles(path) == [], path.name
            ends[call, code, found == seen[call + 1]] += 1
    for call, work in enumerate(CALLS):
        # Cut off before it had an effect, and after it when nobody was told yet; then let live.
        assert ends[call, -signal.SIGKILL, False] >= 3, work
        assert ends[call, -signal.SIGKILL, True] == 1, work
        assert ends[call, 0, True] == 1, work
    assert {code for _, code, _ in ends} == {-signal.SIGKILL, 0}


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE jobyard_gate SET taken = taken + 1 WHERE key = 'g'",
        "UPDATE jobyard_gate SET members = members - 1 WHERE key = 'h'",
        "UPDATE jobyard_gate SET taken = taken - 1 WHERE key = 'r'",
        "UPDATE jobyard_gated SET slot_at = 1 WHERE slot_at IS NULL",
        "UPDATE jobyard_gate SET room = 9",
        "DELETE FROM jobyard_gate WHERE key = 'g'",
        "UPDATE jobyard_gated SET placed = 0",
        "DELETE FROM jobyard_gated",
        "UPDATE jobyard_job SET dedup = NULL",
        "UPDATE jobyard_dep SET waits = 0",
        "UPDATE jobyard_job SET flags = flags & ~1024",
        "UPDATE jobyard_dep SET child = 999, at = child",
    ],
)
async def test_the_audit_sees_what_is_wrong(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "jobs.db"
    await make(path)
    run = Run(path)
    await run.backend.open()
    for call in (add_tied, take_tied):
        await call(run)
    await run.backend.close()
    assert troubles(path) == []
    with reading(path) as connection:
        connection.execute(damage)
        connection.commit()
    assert troubles(path) != []


@pytest.mark.case("N02")
async def test_a_log_that_was_written_in_part_holds_whole_calls(tmp_path: Path) -> None:
    """A commit that is cut off leaves a part of what it wrote, up to any byte of the log."""
    path = tmp_path / "jobs.db"
    await make(path)
    log = path.with_name("jobs.db-wal")
    sizes: list[int] = []
    seen: list[Dump] = []

    def told(_: object) -> None:
        seen.append(dump(path))
        sizes.append(log.stat().st_size)

    backend = await play(path, told)
    file, frames = path.read_bytes(), log.read_bytes()
    await backend.close()
    assert sizes[0] == 0, "the log begins empty, and was not begun anew since"
    (page,) = struct.unpack(">I", frames[8:12])
    cuts = [0, 10, 32, len(frames)]
    for start in range(32, len(frames), 24 + page):
        cuts += [start + 24 + page // 2, start + 24 + page]
    part = tmp_path / "part.db"
    for cut in cuts:
        part.write_bytes(file)
        part.with_name("part.db-wal").write_bytes(frames[:cut])
        whole = max(n for n, size in enumerate(sizes) if size <= cut)
        assert dump(part) == seen[whole], cut
        assert troubles(part) == [], cut


# -- several processes

PRODUCE = """
async def main():
    backend, salt = at(path), int(sys.argv[2])
    await backend.open()
    for n in range(10**9):
        size = 1 if n % 2 else 2 + (n * salt) % 40
        jobs = tuple(
            spec(
                f"{os.getpid()}.{n}.{size}.{k}",
                priority=k % 3,
                delay_ms=k % 5,
                lifo=k % 7 == 3,
                max_crashes=1_000,
            )
            for k in range(size)
        )
        await backend.add([jobs])
        print(n, size, flush=True)
asyncio.run(main())
"""

CONSUME = """
import itertools
from jobyard.lease import Done, Retried, Settled, Settlement
async def main():
    backend = at(path)
    await backend.open()
    ended = []
    for n in itertools.count():
        answer = await backend.settle(ended, claim=want(1 + n % 9, ttl_ms=300))
        for end, settled in zip(ended, answer.results, strict=True):
            if settled is Settled.OK and isinstance(end.outcome, Done):
                print(end.lease.job_id, flush=True)
        leases = answer.claimed.leases
        await backend.extend(leases[::2], ttl_ms=300)
        ended = [
            Settlement(lease, Done(b"1") if (lease.no + lease.failures) % 4 else Retried(1, b"e"))
            for lease in leases
        ]
        if n % 10 == 0:
            await backend.reap(limit=50)
asyncio.run(main())
"""


@pytest.mark.parametrize("seed", [1, 22, 333])
async def test_processes_killed_at_any_moment_leave_a_whole_yard(
    path: Path, start: Start, seed: int
) -> None:
    await make(path)
    dice = random.Random(seed)
    producers = [start(PRODUCE, str(dice.randint(1, 99))) for _ in range(2)]
    consumers = [start(CONSUME) for _ in range(2)]
    processes = [*producers, *consumers]
    first = await asyncio.gather(*(line(process) for process in processes))
    dice.shuffle(processes)
    for process in processes:
        await asyncio.sleep(dice.uniform(0, 0.25))
        process.send_signal(signal.SIGKILL)
    rest = await asyncio.gather(*(rest_of(process) for process in processes))
    told = {each.pid: out.splitlines() for each, out in zip(processes, rest, strict=True)}
    for process, text in zip([*producers, *consumers], first, strict=True):
        told[process.pid].insert(0, text)

    assert troubles(path) == []
    with reading(path) as connection:
        ids = [job_id for (job_id,) in connection.execute("SELECT id FROM jobyard_job")]
    # Ids name their producer, its call, and the size of that call: all of a call is there or none.
    calls = Counter(job_id.rpartition(".")[0] for job_id in ids)
    halves = {call: there for call, there in calls.items() if there != int(call.split(".")[2])}
    assert halves == {}
    acknowledged = {
        f"{process.pid}.{text.replace(' ', '.')}"
        for process in producers
        for text in told[process.pid]
    }
    assert acknowledged <= calls.keys()
    assert len(calls) - len(acknowledged) <= len(producers)

    await _complete(path, settled={job for each in consumers for job in told[each.pid]})
    assert troubles(path) == []


async def _complete(path: Path, *, settled: set[str]) -> None:
    """Take back what the dead held, at the instant when it can be, and complete everything."""
    with reading(path) as connection:
        done = {
            job_id
            for (job_id,) in connection.execute(
                "SELECT j.id FROM jobyard_done d JOIN jobyard_job j USING (no)"
            )
        }
        held = connection.execute(
            "SELECT j.id, max(l.until, coalesce(r.until, 0)) FROM jobyard_running r "
            "JOIN jobyard_job j USING (no) JOIN jobyard_lease l ON l.no = r.lease ORDER BY 2"
        ).fetchall()
    assert settled <= done
    clock = ManualClock(held[0][1] - 1 if held else 2**41)
    backend = at(path, clock=clock)
    await backend.open()
    assert await backend.reap(limit=1_000) == ()
    while held:
        clock.advance(ms=held[0][1] - clock.now_ms())
        due = {job_id for job_id, until in held if until <= clock.now_ms()}
        reaped = await backend.reap(limit=1_000)
        assert {job.job_id for job in reaped} == due
        held = [each for each in held if each[0] not in due]
    clock.advance(ms=60_000)
    while leases := (await backend.claim(want(1_000, sources=(Source(queue="emails"),)))).leases:
        await backend.settle([Settlement(lease, Done()) for lease in leases])
    await _count(backend)
    await backend.close()


async def _count(backend: SqliteBackend) -> None:
    """Compare the counts of everything that happened with the records of the jobs."""
    jobs: list[JobRecord] = []
    after: str | None = None
    while True:
        page = await backend.find(JobQuery(limit=1_000, after=after))
        jobs += page.items
        after = page.next
        if after is None:
            break
    assert {job.state for job in jobs} == {JobState.COMPLETED}
    total = (await backend.metrics("emails", since=0, until=1)).total
    assert total.added == total.completed == len(jobs)
    assert total.retried == sum(job.failures for job in jobs)
    assert total.crashed == sum(job.crashes for job in jobs)
    assert total.started == total.completed + total.retried + total.crashed
