"""What add and fire send, and what they are answered."""

from __future__ import annotations

from collections.abc import Sequence

from jobyard.errors import Unsupported
from jobyard.job import Added, AddOutcome, JobSpec, JobState, Unit
from jobyard_redis.link import Argument
from jobyard_redis.records import STATES, flags_of, rule_text

Shape = tuple[str, str, str, int, int, int | None, int, int, int, bool, bool, object, object]

CREATED = {ord("W"): JobState.WAITING, ord("D"): JobState.DELAYED}


def check(units: Sequence[Unit]) -> None:
    """Raise `Unsupported` for a wish that is not honoured (yet)."""
    for unit in units:
        for spec in unit:
            if spec.group or spec.dedup or spec.depends_on or spec.rate:
                raise Unsupported(
                    "this version of jobyard-redis has no groups, dedup keys, dependencies or "
                    "rates of jobs; upgrade it, or add the job without"
                )


def arguments_of(specs: Sequence[JobSpec]) -> list[Argument]:
    """Write jobs for the script; what many of them have in common is sent once."""
    shapes: dict[Shape, int] = {}
    heads: list[Argument] = []
    jobs: list[Argument] = []
    for spec in specs:
        key = _shape(spec)
        number = shapes.get(key)
        if number is None:
            number = shapes[key] = len(shapes) + 1
            heads += _head(spec)
        size = len(spec.options)
        jobs += (spec.id, number, b"%d\n%b%b" % (size, spec.options, spec.payload))
    return [len(shapes), *heads, len(specs), *jobs]


def _shape(spec: JobSpec) -> Shape:
    return (
        spec.queue,
        spec.channel,
        spec.name,
        spec.priority,
        spec.delay_ms,
        spec.run_at,
        -1 if spec.ttl_ms is None else spec.ttl_ms,
        spec.attempts,
        spec.max_crashes,
        spec.lifo,
        spec.dead_letter,
        spec.keep_completed,
        spec.keep_failed,
    )


def _head(spec: JobSpec) -> list[Argument]:
    when = "" if spec.delay_ms <= 0 else f"+{spec.delay_ms}"
    if spec.run_at is not None:
        when = f"@{spec.run_at}"
    rest = "|".join(
        (
            spec.queue,
            spec.channel,
            spec.name,
            str(spec.attempts),
            str(spec.max_crashes),
            "1" if spec.dead_letter else "0",
            rule_text(spec.keep_completed),
            rule_text(spec.keep_failed),
            "" if spec.ttl_ms is None else str(spec.ttl_ms),
            "",
        )
    )
    return [
        spec.queue,
        f"{spec.channel}/{spec.name}",
        spec.priority,
        flags_of(spec),
        when,
        "" if spec.ttl_ms is None else spec.ttl_ms,
        rest,
    ]


def answers_of(specs: Sequence[JobSpec], said: bytes) -> list[Added]:
    """Read the answer of the script, a character a job."""
    exists, created = AddOutcome.EXISTS, AddOutcome.CREATED
    return [
        Added(spec.id, created, CREATED[code])
        if code in CREATED
        else Added(spec.id, exists, STATES[bytes((code,))])
        for spec, code in zip(specs, said, strict=True)
    ]
