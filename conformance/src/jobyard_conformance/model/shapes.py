"""Shapes: what operations are drawn from. All of it is small, so that things meet."""

from __future__ import annotations

from typing import Final

import msgspec
from hypothesis import strategies as st

from jobyard.edits import (
    Cancel,
    Change,
    Clean,
    Control,
    Declare,
    Drain,
    Move,
    Obliterate,
    Pause,
    Remove,
    Reschedule,
    Resume,
    Retention,
    Revive,
    RunNow,
    SetPayload,
    SetPriority,
    SetProgress,
    Sweep,
)
from jobyard.job import (
    FINISHED,
    JobSpec,
    JobState,
    Reason,
    Retain,
)
from jobyard.lease import (
    MAX_BATCH,
    Cancelled,
    Done,
    Failed,
    Outcome,
    Released,
    Retried,
    Snoozed,
    Source,
    Stalled,
)
from jobyard.limit import HoldBack, Limit, Rate
from jobyard.presence import WorkerInfo, WorkerState
from jobyard.schedule import ScheduleRecord
from jobyard_conformance.yard import START

__all__ = [
    "JOB_IDS",
    "QUEUES",
    "End",
    "Sentence",
    "Shift",
    "Wish",
    "all_there_is",
    "changes",
    "controls",
    "ends",
    "job_ids",
    "limits_and_holds",
    "passing",
    "picks",
    "queues",
    "schedules",
    "sentences",
    "shifts",
    "specs",
    "sweeps",
    "wishes",
    "workers",
]

QUEUES: Final = ("a", "b", "c")
JOB_IDS: Final = tuple(f"j{n}" for n in range(14))
NAMES: Final = ("x", "y", "")
CHANNELS: Final = ("", "eu")

BYTES: Final = (None, b"", b"\x00\xff")

picks = st.integers(0, 11)
"""Which of what there is, counted round."""

queues = st.sampled_from(QUEUES)
mostly_one = st.sampled_from((QUEUES[0], QUEUES[0], *QUEUES))
job_ids = st.sampled_from(JOB_IDS)
soon = st.sampled_from((0, 0, 1, 5, 50))
short = st.sampled_from((1, 5, 10, 50, 1_000))
passing = st.sampled_from((1, 4, 5, 10, 50, 1_000, 60_000))
instants = st.sampled_from((0, START, START + 5, START + 60, START + 5_000))
texts = st.sampled_from((b"", b"\x00\xff", b"text"))
maybe_bytes = st.sampled_from(BYTES)

retains = st.none() | st.builds(
    Retain, count=st.sampled_from((None, 0, 1, 2)), age_ms=st.sampled_from((None, 0, 5, 50))
)

uncounted = st.none() | st.builds(
    Retain, count=st.sampled_from((None, 0)), age_ms=st.sampled_from((None, 0, 5, 50))
)


class When(msgspec.Struct, frozen=True):
    """When a job is due: after a delay, or at an instant."""

    delay_ms: int = 0
    run_at: int | None = None


whens = st.builds(When, delay_ms=soon) | st.builds(When, run_at=instants)


@st.composite
def specs(draw: st.DrawFn) -> JobSpec:
    """Draw a job to add: mostly plain, since each odd field hides others."""
    when = draw(whens)
    ttl_ms = draw(st.sampled_from((None, None, 5, 50, 1_000)))
    # Of jobs that expire together it is left open which ends first, by a claim or a reap, and so
    # which of them would find how many others beyond its count: such jobs keep by age alone.
    keep_failed = draw(retains if ttl_ms is None else uncounted)
    return JobSpec(
        id=draw(job_ids),
        queue=draw(mostly_one),
        name=draw(st.sampled_from(NAMES)),
        channel=draw(st.sampled_from(CHANNELS)),
        payload=draw(texts),
        options=draw(texts),
        priority=draw(st.sampled_from((0, 0, 0, -1, 5))),
        lifo=draw(st.sampled_from((False, False, True))),
        delay_ms=when.delay_ms,
        run_at=when.run_at,
        ttl_ms=ttl_ms,
        attempts=draw(st.integers(1, 3)),
        max_crashes=draw(st.integers(1, 3)),
        dead_letter=draw(st.booleans()),
        keep_completed=draw(retains),
        keep_failed=keep_failed,
    )


class Wish(msgspec.Struct, frozen=True):
    """A claim to be made; its lease id comes from the machine, and `ahead_ms` counts from now."""

    sources: tuple[Source, ...]
    limit: int
    ttl_ms: int
    worker: str
    ahead_ms: int | None = None


def _sources(
    queues: list[str], names: tuple[str, ...] | None, channels: tuple[str, ...] | None, limit: int
) -> tuple[Source, ...]:
    """Build sources of which no two match the same job."""
    return tuple(Source(queue=q, names=names, channels=channels, limit=limit) for q in queues)


def _split(queue: str, limits: tuple[int, int]) -> tuple[Source, ...]:
    one, other = limits
    return (
        Source(queue=queue, names=("x",), limit=one),
        Source(queue=queue, names=("y", ""), limit=other),
    )


def _subsets(them: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...] | None]:
    return st.none() | st.lists(st.sampled_from(them), unique=True).map(tuple)


limits = st.sampled_from((MAX_BATCH, MAX_BATCH, 0, 1, 2))
sources = (
    st.just(_sources(list(QUEUES), None, None, MAX_BATCH))
    | st.builds(
        _sources,
        st.lists(queues, unique=True, max_size=3),
        _subsets(NAMES),
        _subsets(CHANNELS),
        limits,
    )
    | st.builds(_split, queues, st.tuples(limits, limits))
)
wishes = st.builds(
    Wish,
    sources=sources,
    limit=st.sampled_from((1, 2, 3, 100, 0)),
    ttl_ms=short,
    worker=st.sampled_from(("w1", "w2")),
    ahead_ms=st.sampled_from((None, None, None, -5, 0, 5, 60)),
)

all_there_is = st.builds(
    Wish,
    sources=st.just(_sources(list(QUEUES), None, None, MAX_BATCH)),
    limit=st.sampled_from((1, 3, 100)),
    ttl_ms=st.sampled_from((5, 50, 1_000)),
    worker=st.just("w1"),
)

outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Done, maybe_bytes),
    st.builds(Retried, soon, maybe_bytes),
    st.builds(Failed, st.sampled_from(Reason), maybe_bytes),
    st.builds(Snoozed, soon),
    st.just(Released()),
    st.just(Cancelled()),
    st.builds(Stalled, maybe_bytes),
)


class Shift(msgspec.Struct, frozen=True):
    """Some work: time that passes, a claim, and how the first of the runs that it gives end."""

    ms: int
    wish: Wish
    outcomes: tuple[Outcome, ...]


shifts = st.builds(
    Shift,
    passing,
    all_there_is,
    st.lists(st.builds(Done, maybe_bytes) | outcomes, max_size=3).map(tuple),
)


class End(msgspec.Struct, frozen=True):
    """The end of a run: of a lease that is held, of any there was (`stale`), or of a forged one."""

    pick: int
    outcome: Outcome
    ran_ms: int = 0
    kind: str = "held"


ends = st.builds(
    End,
    picks,
    outcomes,
    st.sampled_from((0, 7)),
    st.sampled_from(("held", "held", "held", "held", "stale", "stale", "forged", "crossed")),
)


class Sentence(msgspec.Struct, frozen=True):
    """What a run reports: its progress, or a line of its log with how many to keep."""

    pick: int
    value: bytes = b""
    line: str | None = None
    keep: int = 1_000
    kind: str = "held"


kinds = st.sampled_from(("held", "held", "held", "stale", "forged"))
sentences = st.builds(Sentence, picks, value=texts, kind=kinds) | st.builds(
    Sentence,
    picks,
    line=st.sampled_from(("one", "two", "", "drei — ü\n")),
    keep=st.sampled_from((1_000, 1, 2)),
    kind=kinds,
)

changes: st.SearchStrategy[Change] = st.one_of(
    st.just(RunNow()),
    st.builds(Reschedule, delay_ms=soon),
    st.builds(Reschedule, run_at=instants),
    st.builds(SetPriority, st.sampled_from((-1, 0, 5))),
    st.builds(SetPayload, texts),
    st.builds(SetProgress, texts),
    st.builds(Revive, reset=st.booleans()),
    st.builds(Cancel, running=st.booleans()),
    st.just(Remove()),
    st.builds(Move, to=st.sampled_from(JobState), result=maybe_bytes, error=maybe_bytes),
)

controls: st.SearchStrategy[Control] = st.sampled_from((Pause(), Resume(), Resume(), Declare()))
limited = st.sampled_from((None, None, "x", ""))
rates = st.builds(Rate, count=st.integers(1, 2), per_ms=st.sampled_from((5, 50)))
limits_and_holds: st.SearchStrategy[Limit | HoldBack] = st.one_of(
    st.builds(
        Limit,
        name=limited,
        concurrency=st.sampled_from((None, None, 1, 2)),
        rate=st.none() | rates,
    ),
    st.builds(HoldBack, name=limited, ms=st.sampled_from((0, 0, 5, 50))),
)

states = st.sets(st.sampled_from(sorted(FINISHED)), min_size=1).map(frozenset)
ages = st.sampled_from((0, 5, 50, 10**9))
sweeps: st.SearchStrategy[Sweep] = st.one_of(
    st.builds(Drain, queue=queues, delayed=st.booleans()),
    st.builds(Clean, states=states, older_than_ms=ages, queue=st.none() | queues),
    st.builds(Obliterate, queue=queues, force=st.booleans()),
    st.builds(
        Retention, completed_ms=ages, others_ms=ages, count=st.sampled_from((0, 1, 3, 1_000))
    ),
)

schedules = st.builds(
    ScheduleRecord,
    key=st.sampled_from(("s1", "s2", "s3")),
    definition=texts,
    next_at=st.none() | instants,
    paused=st.sampled_from((False, False, True)),
    fired=st.integers(0, 2),
    last_at=st.none() | instants,
)

workers = st.builds(
    WorkerInfo,
    id=st.sampled_from(("w1", "w2")),
    host=st.just("host"),
    pid=st.just(1),
    queues=st.just(QUEUES),
    concurrency=st.just(2),
    active=st.integers(0, 2),
    state=st.sampled_from(WorkerState),
)
