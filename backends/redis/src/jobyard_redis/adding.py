"""What add and fire send, and what they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from typing import Final

from jobyard.job import Added, AddOutcome, JobSpec, JobState, Unit
from jobyard_redis.link import Argument
from jobyard_redis.records import STATES, flags_of, has_wishes, rule_text, wishes_of

Shape = tuple[str, str, str, int, int, int | None, int, int, int, bool, bool, bool, object, object]

OUTCOMES: Final[dict[int, tuple[AddOutcome, JobState | None]]] = {
    **{code[0]: (AddOutcome.EXISTS, state) for code, state in STATES.items()},
    **{code.upper()[0]: (AddOutcome.CREATED, state) for code, state in STATES.items()},
    ord("n"): (AddOutcome.NO_PARENT, None),
}
"""What came of a job that did not meet its dedup key held."""

MET: Final = ord("u")


def arguments_of(units: Sequence[Unit]) -> list[Argument]:
    """Write units for the script; what many jobs have in common is sent once."""
    specs = list(chain.from_iterable(units))
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
        if has_wishes(spec):
            wishes = wishes_of(spec)
            tail = b"%d\n%b\n%b%b" % (size, wishes, spec.options, spec.payload)
            jobs += (spec.id, number, tail, _key_mode(spec))
        else:
            jobs += (spec.id, number, b"%d\n%b%b" % (size, spec.options, spec.payload))
    sizes = [len(unit) for unit in units] if any(spec.depends_on for spec in specs) else []
    return [len(shapes), *heads, len(specs), *jobs, len(sizes), *sizes]


def _key_mode(spec: JobSpec) -> str:
    if spec.dedup is None:
        return "|"
    return f"{spec.dedup.mode}|{'' if spec.dedup.ttl_ms is None else spec.dedup.ttl_ms}"


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
        has_wishes(spec),
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


def answers_of(units: Sequence[Unit], said: bytes) -> list[tuple[Added, ...]]:
    """Read the answer of the script: a character a job, and a line for each that met its key."""
    codes, *met = said.split(b"\n")
    lines = iter(met)
    specs = chain.from_iterable(units)
    answers = (
        _holder(next(lines)) if code == MET else Added(spec.id, *OUTCOMES[code])
        for spec, code in zip(specs, codes, strict=True)
    )
    return [tuple(islice(answers, len(unit))) for unit in units]


def _holder(line: bytes) -> Added:
    """Read who holds the key: the state, or '-' if the record is gone, and the id."""
    return Added(line[1:].decode(), AddOutcome.DEDUPLICATED, STATES.get(line[:1]))
