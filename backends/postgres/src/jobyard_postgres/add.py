"""Storing jobs: what is asked for, as the arrays of one call."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from psycopg.types.numeric import Int4, Int8

from jobyard.job import Added, AddOutcome, JobSpec, JobState, Unit
from jobyard_postgres.arrays import (
    byteas,
    int4s,
    int8s,
    nullable_int8s,
    texts,
)
from jobyard_postgres.joining import Joined
from jobyard_postgres.store import Store
from jobyard_postgres.tying import answers as tied_answers
from jobyard_postgres.tying import flags_of, is_tied, tie_arrays
from jobyard_sql.codes import (
    DEAD_LETTER,
    DROP,
    KEEP_COMPLETED,
    KEEP_FAILED,
    LIFO,
    STATES,
    TTL,
)

Answers = list[tuple[Added, ...]]


async def add(
    store: Store,
    units: Sequence[Unit],
    *,
    tick: tuple[str, int, int | None] | None = None,
    joined: Joined | None = None,
) -> Answers | None:
    """Store units of jobs; with a tick of a schedule, only if it is the next, else `None`.

    With a transaction of the caller's it is done in that; how durable its commit is, and when the
    workers are told, is then up to it.
    """
    specs = [spec for unit in units for spec in unit]
    if not specs and tick is None:
        return [() for _ in units]
    head = (store.now, store.fast and joined is None)
    woken: Sequence[str] = ()
    if len(specs) == 1 and tick is None and _is_plain(specs[0]):
        row = await _step(store, joined, "add_one", (*head, *_scalars(specs[0])))
        now, fired, listening, fresh, states = row
        found = _answers(specs, now, fresh, states)
    else:
        asked = (*head, *(tick or (None, None, None)), *_arrays(specs))
        if any(map(is_tied, specs)):
            if joined is not None:
                await joined.check_isolation()
            fired, listening, woken, found = await _add_tied(store, asked, units, joined)
        else:
            now, fired, listening, fresh, states = await _step(store, joined, "add", asked)
            found = _answers(specs, now, fresh, states) if fired else []
    if not fired:
        return None
    queues = {spec.queue for spec in specs}.union(woken)
    if joined is None:
        store.bell.ring(queues, events=listening)
    else:
        await joined.notify(*store.bell.notice(queues, events=listening))
    answers = iter(found)
    return [tuple(islice(answers, len(unit))) for unit in units]


async def _add_tied(
    store: Store, asked: tuple[Any, ...], units: Sequence[Unit], joined: Joined | None
) -> tuple[bool, bool, Sequence[str], list[Added]]:
    """Store jobs of which some are tied to others."""
    arguments = (*asked, *tie_arrays(units))
    row = await _step(store, joined, "add_tied", arguments)
    _, fired, listening, outcomes, states, ids, woken = row
    return fired, listening, woken, tied_answers(ids, outcomes, states) if fired else []


async def _step(
    store: Store, joined: Joined | None, function: str, arguments: tuple[Any, ...]
) -> Any:
    if joined is None:
        return await store.call_one(function, *arguments)
    return await joined.call_one(store.text_of(function, len(arguments)), arguments)


def _is_plain(spec: JobSpec) -> bool:
    """Tell whether a job has nothing but what every job has."""
    return not (
        is_tied(spec)
        or spec.ttl_ms is not None
        or spec.keep_completed is not None
        or spec.keep_failed is not None
    )


def _scalars(spec: JobSpec) -> tuple[Any, ...]:
    """Return a plain job as the parameters of a step of its own, which cost less than arrays."""
    return (
        spec.queue,
        spec.channel,
        spec.name,
        spec.id,
        Int4(-spec.priority),
        Int8(spec.delay_ms),
        None if spec.run_at is None else Int8(spec.run_at),
        Int4(spec.attempts),
        Int4(spec.max_crashes),
        Int4(_flags_of(spec)),
        spec.payload,
        spec.options,
    )


def _arrays(specs: Sequence[JobSpec]) -> tuple[Any, ...]:
    lanes = sorted({(spec.queue, spec.channel, spec.name) for spec in specs})
    places = {lane: place for place, lane in enumerate(lanes, 1)}
    return (
        texts([lane[0] for lane in lanes]),
        texts([lane[1] for lane in lanes]),
        texts([lane[2] for lane in lanes]),
        texts([spec.id for spec in specs]),
        int4s([places[spec.queue, spec.channel, spec.name] for spec in specs]),
        int4s([-spec.priority for spec in specs]),
        int8s([spec.delay_ms for spec in specs]),
        nullable_int8s([spec.run_at for spec in specs]),
        nullable_int8s([spec.ttl_ms for spec in specs]),
        int4s([spec.attempts for spec in specs]),
        int4s([spec.max_crashes for spec in specs]),
        int4s([_flags_of(spec) for spec in specs]),
        byteas([spec.payload for spec in specs]),
        byteas([spec.options for spec in specs]),
        *_keeps(specs),
    )


def _flags_of(spec: JobSpec) -> int:
    """Write what a job asks for as flags."""
    flags = flags_of(spec)
    if spec.dead_letter:
        flags |= DEAD_LETTER
    if spec.lifo:
        flags |= LIFO
    if spec.ttl_ms is not None:
        flags |= TTL
    if spec.keep_failed is not None:
        flags |= KEEP_FAILED
    if spec.keep_completed is not None:
        flags |= DROP if spec.keep_completed.count == 0 else KEEP_COMPLETED
    return flags


def _keeps(specs: Sequence[JobSpec]) -> tuple[Any, ...]:
    """Return the jobs, by place, that have rules of their own for their records."""
    rules = [
        (place, spec.keep_completed, spec.keep_failed)
        for place, spec in enumerate(specs, 1)
        if spec.keep_completed is not None or spec.keep_failed is not None
    ]
    if not rules:
        return (None,) * 5
    completed = [rule[1] for rule in rules]
    failed = [rule[2] for rule in rules]
    return (
        int4s([rule[0] for rule in rules]),
        nullable_int8s([None if rule is None else rule.count for rule in completed]),
        nullable_int8s([None if rule is None else rule.age_ms for rule in completed]),
        nullable_int8s([None if rule is None else rule.count for rule in failed]),
        nullable_int8s([None if rule is None else rule.age_ms for rule in failed]),
    )


def _answers(
    specs: Sequence[JobSpec], now: int, fresh: Sequence[bool] | None, states: Sequence[int] | None
) -> list[Added]:
    if fresh is None or states is None:
        return [Added(spec.id, AddOutcome.CREATED, _first_state(spec, now)) for spec in specs]
    return [
        Added(spec.id, AddOutcome.CREATED if new else AddOutcome.EXISTS, STATES[state])
        for spec, new, state in zip(specs, fresh, states, strict=True)
    ]


def _first_state(spec: JobSpec, now: int) -> JobState:
    later = spec.delay_ms > 0 if spec.run_at is None else spec.run_at > now
    return JobState.DELAYED if later else JobState.WAITING
