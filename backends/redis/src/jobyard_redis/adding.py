"""What add and fire send, and what they are answered."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import chain, islice
from typing import Final

from jobyard.job import Added, AddOutcome, JobSpec, JobState, Unit
from jobyard_redis.link import Argument
from jobyard_redis.records import STATES, flags_of, has_wishes, packed, rule_text, wishes_of

OUTCOMES: Final[dict[int, tuple[AddOutcome, JobState | None]]] = {
    **{code[0]: (AddOutcome.EXISTS, state) for code, state in STATES.items()},
    **{code.upper()[0]: (AddOutcome.CREATED, state) for code, state in STATES.items()},
    ord("n"): (AddOutcome.NO_PARENT, None),
}
"""What came of a job that did not meet its dedup key held."""

MET: Final = ord("u")


def script_for(units: Sequence[Unit]) -> tuple[str, list[Argument]]:
    """Name the script that stores units, and write them for it."""
    specs = list(chain.from_iterable(units))
    if any(map(has_wishes, specs)):
        return "add", arguments_of(units)
    return "add_plain", _jobs(specs)


def arguments_of(units: Sequence[Unit]) -> list[Argument]:
    """Write units of jobs of any kind."""
    specs = list(chain.from_iterable(units))
    sizes = [len(unit) for unit in units] if any(spec.depends_on for spec in specs) else []
    return [*_jobs(specs), len(sizes), *sizes]


def _jobs(specs: Sequence[JobSpec]) -> list[Argument]:
    """Write jobs; what many of them have in common is sent once."""
    shapes: dict[Hashable, int] = {}
    heads: list[Argument] = []
    numbers: list[int] = []
    for spec in specs:
        key = _shape(spec)
        number = shapes.get(key)
        if number is None:
            number = shapes[key] = len(shapes) + 1
            heads += _head(spec)
        numbers.append(number)
    found: list[Argument] = [len(shapes), *heads, len(specs)]
    for spec, number in zip(specs, numbers, strict=True):
        found.append(packed(spec.id))
        if len(shapes) > 1:
            found.append(number)
        if has_wishes(spec):
            found += (b"%b\n%b%b" % (wishes_of(spec), spec.options, spec.payload), _key_mode(spec))
        else:
            found.append(spec.options + spec.payload)
    return found


def _key_mode(spec: JobSpec) -> str:
    if spec.dedup is None:
        return "|"
    return f"{spec.dedup.mode}|{'' if spec.dedup.ttl_ms is None else spec.dedup.ttl_ms}"


def _shape(spec: JobSpec) -> Hashable:
    return (
        spec.queue,
        spec.channel,
        spec.name,
        spec.priority,
        spec.delay_ms,
        spec.run_at,
        spec.ttl_ms,
        spec.attempts,
        spec.max_crashes,
        spec.lifo,
        spec.dead_letter,
        has_wishes(spec),
        spec.keep_completed,
        spec.keep_failed,
        len(spec.options),
    )


COMMON: Final = ["0", "0", "-", "-", ""]
"""What most records say after the most crashes; there it is left out."""


def _head(spec: JobSpec) -> list[Argument]:
    when = "" if spec.delay_ms <= 0 else f"+{spec.delay_ms}"
    if spec.run_at is not None:
        when = f"@{spec.run_at}"
    ttl = "" if spec.ttl_ms is None else str(spec.ttl_ms)
    line = [spec.queue, spec.channel, spec.name, str(spec.attempts), str(spec.max_crashes)]
    rest = [
        str(spec.priority),
        "1" if spec.dead_letter else "0",
        rule_text(spec.keep_completed),
        rule_text(spec.keep_failed),
        ttl,
    ]
    return [
        spec.queue,
        f"{spec.channel}/{spec.name}",
        spec.priority,
        flags_of(spec),
        when,
        ttl,
        len(spec.options) or "",
        "|".join(line if rest == COMMON else line + rest),
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
