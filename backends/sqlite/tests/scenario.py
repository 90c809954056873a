"""One of everything a backend does, in a fixed order: what is cut short at each of its steps.

Run as a program it forks a child for each step, which kills itself there:

    python -m backends.sqlite.tests.scenario FOLDER prepare|calls

With `prepare` the children make a namespace where there is no file yet, with `calls` each makes
one call of `CALLS` on a file as it is at that moment of the scenario. For each child a line tells
its file, its call and its exit code; the next is started after a line on stdin.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from backends.sqlite.tests.handles import at, spec, want

from jobyard.clock import ManualClock
from jobyard.edits import Cancel, Drain, Obliterate, Pause, Remove, Retention, Revive
from jobyard.job import (
    Dedup,
    DedupMode,
    Dependency,
    Group,
    JobSpec,
    RateKey,
    Reason,
    Retain,
)
from jobyard.lease import (
    Claim,
    Done,
    Failed,
    Lease,
    LogLine,
    Progress,
    Retried,
    Settlement,
    Source,
)
from jobyard.limit import HoldBack, Limit, Rate
from jobyard.presence import WorkerInfo
from jobyard.schedule import ScheduleRecord
from jobyard_sqlite.backend import SqliteBackend


class Run:
    """The state of one run of the scenario."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock()
        self.backend = at(path, clock=self.clock)
        self.leases: dict[str, Lease] = {}
        self.claims = 0

    def want(self, limit: int, **fields: Any) -> Claim:
        self.claims += 1
        return want(limit, lease_id=f"lease-{self.claims}", ttl_ms=1_000, **fields)

    def took(self, leases: Iterable[Lease]) -> None:
        self.leases.update((lease.job_id, lease) for lease in leases)


async def listen(run: Run) -> None:
    await run.backend.subscribe("all", ttl_ms=60_000)


async def add_one(run: Run) -> None:
    await run.backend.add([(spec("one", priority=3),)])


async def add_bulk(run: Run) -> None:
    keep = Retain(count=1)
    bulk = [spec(f"bulk-{n}", keep_completed=keep, keep_failed=keep) for n in range(4)]
    bulk += [spec("later", delay_ms=500), spec("mortal", ttl_ms=2_000), spec("last", lifo=True)]
    await run.backend.add([tuple(bulk), (spec("else", queue="other", name="n"),)])


async def take_some(run: Run) -> None:
    run.took((await run.backend.claim(run.want(4))).leases)


async def settle_and_take(run: Run) -> None:
    one, last = run.leases["one"], run.leases["last"]
    ended = [Settlement(one, Done(b"1")), Settlement(last, Retried(100, b"error"))]
    run.clock.advance(ms=600)
    answer = await run.backend.settle(ended, claim=run.want(3))
    assert answer.claimed is not None
    run.took(answer.claimed.leases)


async def extend(run: Run) -> None:
    await run.backend.extend([run.leases["bulk-0"], run.leases["bulk-1"]], ttl_ms=2_000)


async def report(run: Run) -> None:
    lease = run.leases["bulk-0"]
    await run.backend.report([Progress(lease, b"50"), LogLine(lease, "half", keep=10)])


async def settle_by_rules(run: Run) -> None:
    ended = [Settlement(run.leases[f"bulk-{n}"], Done()) for n in (0, 1, 2)]
    await run.backend.settle(ended)


async def beat(run: Run) -> None:
    worker = WorkerInfo(id="w", host="h", pid=1, queues=("emails",), concurrency=1)
    await run.backend.beat(worker, ttl_ms=9_000)


async def take_the_rest(run: Run) -> None:
    sources = (Source(queue="emails"), Source(queue="other", names=("n",)))
    run.took((await run.backend.claim(run.want(10, sources=sources))).leases)


async def reap(run: Run) -> None:
    run.clock.advance(ms=2_000)
    await run.backend.reap(limit=2)


async def reap_on(run: Run) -> None:
    await run.backend.reap(limit=100)


async def cancel(run: Run) -> None:
    await run.backend.change(["later", "bulk-3", "else"], Cancel())


async def revive(run: Run) -> None:
    await run.backend.change(["later", "mortal"], Revive())


async def remove(run: Run) -> None:
    await run.backend.change(["later"], Remove())


async def pause(run: Run) -> None:
    await run.backend.control("emails", Pause())


async def put_schedule(run: Run) -> None:
    schedule = ScheduleRecord(key="daily", definition=b"{}", next_at=5)
    await run.backend.put_schedules([schedule])


async def fire(run: Run) -> None:
    jobs = (spec("tick", queue="ticks"), spec("tock", queue="ticks"))
    await run.backend.fire("daily", expected=5, next_at=10, jobs=jobs)


async def obliterate(run: Run) -> None:
    await run.backend.sweep(Obliterate(queue="ticks"))


async def drain(run: Run) -> None:
    await run.backend.sweep(Drain(queue="emails"), limit=2)


def tied(job_id: str, **fields: Any) -> JobSpec:
    return spec(job_id, queue="tied", **fields)


async def add_tied(run: Run) -> None:
    """Two groups, a rate, a key and a chain of parents, in one call."""
    group, rate = Group(key="g"), RateKey(key="r", count=1, per_ms=1_000)
    await run.backend.add(
        [
            tuple(tied(f"g{n}", group=group, max_crashes=1) for n in range(3)),
            tuple(tied(f"r{n}", rate=rate, group=Group(key="h", limit=2)) for n in range(3)),
            (
                tied("p"),
                tied("c", depends_on=(Dependency(parent="p"),)),
                tied("d", depends_on=(Dependency(parent="c"),), group=group),
            ),
            (tied("k", dedup=Dedup(key="k")), tied("l", dedup=Dedup(key="k"))),
        ]
    )


def want_tied(run: Run, limit: int) -> Claim:
    return run.want(limit, sources=(Source(queue="tied"),))


async def take_tied(run: Run) -> None:
    run.took((await run.backend.claim(want_tied(run, 10))).leases)


async def settle_tied(run: Run) -> None:
    """A place, a slot and a parent are given on; the next are taken in the same call."""
    ended = [Settlement(run.leases[each], Done()) for each in ("g0", "r0", "p")]
    ended.append(Settlement(run.leases["k"], Retried(0)))
    run.clock.advance(ms=1_000)
    answer = await run.backend.settle(ended, claim=want_tied(run, 10))
    assert answer.claimed is not None
    run.took(answer.claimed.leases)


async def widen(run: Run) -> None:
    """A greater limit lets jobs on that were held back."""
    jobs = (
        tied("g3", group=Group(key="g", limit=2)),
        tied("r3", rate=RateKey(key="r", count=2, per_ms=1_000)),
        tied("m", dedup=Dedup(key="k", mode=DedupMode.REPLACE)),
    )
    await run.backend.add([jobs])


async def cancel_tied(run: Run) -> None:
    await run.backend.change(["g2", "r1"], Cancel())


async def fail_tied(run: Run) -> None:
    """The failure of a parent fails its child, whose place goes on."""
    await run.backend.settle([Settlement(run.leases["c"], Failed(Reason.EXHAUSTED))])


async def revive_tied(run: Run) -> None:
    await run.backend.change(["d", "g2"], Revive())


async def reap_tied(run: Run) -> None:
    run.clock.advance(ms=5_000)
    await run.backend.reap(limit=100)


async def drain_tied(run: Run) -> None:
    await run.backend.sweep(Drain(queue="tied", delayed=True), limit=3)


async def obliterate_tied(run: Run) -> None:
    await run.backend.sweep(Obliterate(queue="tied", force=True))


async def limit(run: Run) -> None:
    await run.backend.control("other", Limit(name="m", concurrency=2, rate=Rate(1, 1_000)))


async def add_limited(run: Run) -> None:
    await run.backend.add([tuple(spec(f"m{n}", queue="other", name="m") for n in range(3))])


async def take_limited(run: Run) -> None:
    run.took((await run.backend.claim(run.want(3, sources=(Source(queue="other"),)))).leases)


async def hold(run: Run) -> None:
    await run.backend.control("other", HoldBack(ms=1_000))


async def retain(run: Run) -> None:
    run.clock.advance(ms=10)
    await run.backend.sweep(Retention(completed_ms=1, others_ms=1, count=1))


CALLS: tuple[Callable[[Run], Awaitable[None]], ...] = (
    listen,
    add_one,
    add_bulk,
    take_some,
    settle_and_take,
    extend,
    report,
    settle_by_rules,
    beat,
    take_the_rest,
    reap,
    reap_on,
    cancel,
    revive,
    remove,
    pause,
    put_schedule,
    fire,
    obliterate,
    drain,
    add_tied,
    take_tied,
    settle_tied,
    widen,
    cancel_tied,
    fail_tied,
    revive_tied,
    reap_tied,
    drain_tied,
    retain,
    obliterate_tied,
    limit,
    add_limited,
    take_limited,
    hold,
)


async def make(path: Path) -> None:
    """Make a namespace."""
    backend = at(path)
    await backend.open()
    await backend.prepare()
    await backend.close()


async def play(path: Path, told: Callable[[Run], None]) -> SqliteBackend:
    """Make all the calls, telling each that was answered; return the handle, still open."""
    run = Run(path)
    await run.backend.open()
    told(run)
    for call in CALLS:
        await call(run)
        told(run)
    return run.backend


# -- the children


class Steps:
    """Counts the steps of this process, and kills it at the one given.

    A step is the moment before a statement that may write, and the moment after a commit; at all
    other moments between two statements the store is as it was at the step before.
    """

    last = 0
    done = 0

    @classmethod
    def step(cls) -> None:
        cls.done += 1
        if cls.done == cls.last:
            os.kill(os.getpid(), signal.SIGKILL)


class CountingCursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = (), /) -> CountingCursor:
        if not sql.startswith("SELECT"):
            Steps.step()
        super().execute(sql, parameters)
        if sql == "COMMIT":
            Steps.step()
        return self

    def executemany(self, sql: str, parameters: Any, /) -> CountingCursor:
        Steps.step()
        super().executemany(sql, parameters)
        return self


class CountingConnection(sqlite3.Connection):
    def cursor(self, factory: Any = CountingCursor) -> Any:
        return super().cursor(factory)


class Moment(NamedTuple):
    """A run between two calls: its files, and what it knows."""

    file: bytes
    log: bytes
    now: int
    leases: dict[str, Lease]
    claims: int

    @classmethod
    def of(cls, path: Path, run: Run) -> Moment:
        log = path.with_name(f"{path.name}-wal").read_bytes()
        return cls(path.read_bytes(), log, run.clock.now_ms(), dict(run.leases), run.claims)

    def resumed(self, path: Path) -> Run:
        path.write_bytes(self.file)
        path.with_name(f"{path.name}-wal").write_bytes(self.log)
        run = Run(path)
        run.clock = run.backend.clock = ManualClock(self.now)
        run.leases, run.claims = dict(self.leases), self.claims
        return run


async def moments(path: Path) -> list[Moment]:
    """Make all the calls undisturbed."""
    found: list[Moment] = []
    await make(path)
    backend = await play(path, lambda run: found.append(Moment.of(path, run)))
    await backend.close()
    return found


async def call_on(run: Run, call: Callable[[Run], Awaitable[None]], last: int) -> None:
    """Make one call, and die at one of its steps."""
    await run.backend.open()
    Steps.done, Steps.last = 0, last
    await call(run)
    Steps.last = 0
    await run.backend.close()


def child_dies(work: Callable[[int], Coroutine[Any, Any, None]], last: int) -> int:
    """Fork a child that dies at one step; return its exit code."""
    child = os.fork()
    if not child:
        code = 1
        try:
            asyncio.run(work(last))
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def make_dying(path: Path, last: int) -> None:
    """Make a namespace, and die at one step."""
    Steps.last = last
    await make(path)


def main(folder: Path, mode: str) -> None:
    """Let a child die at each step of each work, until one lives."""
    found = asyncio.run(moments(folder / "undisturbed.db"))
    gc.freeze()
    sqlite3.connect = partial(sqlite3.connect, factory=CountingConnection)  # type: ignore[assignment]
    for number in range(len(CALLS) if mode == "calls" else 1):
        for last in count(1):
            path = folder / f"{number}-{last}.db"

            def work(last: int, path: Path = path, number: int = number) -> Any:
                if mode == "prepare":
                    return make_dying(path, last)
                return call_on(found[number].resumed(path), CALLS[number], last)

            code = child_dies(work, last)
            sys.stdout.write(f"{path.name} {number} {code}\n")
            sys.stdout.flush()
            sys.stdin.readline()
            if not code:
                break


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
