"""Reading the heads of the ranges that a claim may take from, and making leases of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from jobyard.lease import Lease
from jobyard_sql.codes import GATED, LIFO
from jobyard_sql.moves import MAX_TERMS
from jobyard_sqlite.lanes import QueueRow
from jobyard_sqlite.limits import Room
from jobyard_sqlite.transaction import Transaction
from jobyard_sqlite.transitions import json_list

STRAND: Final = 14
"""Where a row of several ranges has the number of its own, after what `Moves` selects."""


class Strand(NamedTuple):
    """A part of `ready` that is one range: a queue, or one lane of it."""

    by: str
    key: int
    queue: QueueRow


class Strands(NamedTuple):
    """The strands of one source, and how many jobs it may give.

    Where a limit is, the strands of a source that the same of them bound stand together, with
    their rooms; the limit is then what the least of these has left.
    """

    strands: tuple[Strand, ...]
    limit: int
    rooms: tuple[Room, ...] = ()


def leases_from(
    tx: Transaction, rows: Sequence[Any], *, lease_id: str, fence: int, until: int
) -> tuple[Lease, ...]:
    """Make leases of rows; what is the same in all is shared by all."""
    names = tx.lane_names({row[0] for row in rows})
    groups = _groups(tx, rows)
    return tuple(
        [
            Lease(
                job_id,
                lease_id,
                fence,
                no,
                flags,
                (lane_names := names[lane])[0],
                lane_names[1],
                lane_names[2],
                payload,
                options,
                priority,
                attempts,
                max_crashes,
                failures,
                crashes,
                created_at,
                due_at,
                until,
                expires_at,
                groups.get(no),
            )
            for (
                lane,
                job_id,
                no,
                flags,
                payload,
                options,
                priority,
                attempts,
                max_crashes,
                failures,
                crashes,
                created_at,
                due_at,
                expires_at,
                *_,
            ) in rows
        ]
    )


def _groups(tx: Transaction, rows: Sequence[Any]) -> dict[int, str]:
    """Return the groups of jobs that have one, by number; the transaction notes their rates."""
    gated = [row[2] for row in rows if row[3] & GATED]
    if not gated:
        return {}
    groups: dict[int, str] = {}
    for no, key, rate in tx.rows(tx.gating.passed, (json_list(gated),)):
        groups[no] = key
        if rate is not None:
            tx.rates[no] = rate
    return groups


def key_of(lease: Lease) -> tuple[int, int, int]:
    """Return a lease's place in the order of its range."""
    sign = -1 if lease.flags & LIFO else 1
    return -lease.priority, sign * lease.due_at, sign * lease.no


def head(tx: Transaction, source: Strands, limit: int) -> list[Any]:
    """Read the first jobs of a range."""
    (strand,) = source.strands
    return tx.rows(tx.moves.head[strand.by], (strand.key, min(limit, source.limit)))


def _place(row: Sequence[Any]) -> tuple[int, int, int]:
    """Return a row's place in the order of all ranges."""
    sign = -1 if row[3] & LIFO else 1
    return -row[6], sign * row[12], sign * row[2]


def merged_head(tx: Transaction, sources: Sequence[Strands], limit: int) -> list[Any]:
    """Read the first jobs of several ranges in their common order, each with its range's number.

    One compound select merges a few hundred ranges; more are merged in parts, and those parts
    here.
    """
    numbered: list[tuple[list[tuple[int, Strand]], int]] = []
    number = 0
    for source in sources:
        strands = list(enumerate(source.strands, number))
        numbered.append((strands, source.limit))
        number += len(strands)
    rows: list[Any] = []
    for part in _parts(numbered):
        rows += _merged_part(tx, part, limit)
    if number <= MAX_TERMS:
        return rows
    rows.sort(key=_place)
    return _within_limits(rows, numbered, limit)


Numbered = list[tuple[list[tuple[int, Strand]], int]]


def _parts(numbered: Numbered) -> list[Numbered]:
    """Cut sources into parts of not too many strands each."""
    parts: list[Numbered] = [[]]
    room = MAX_TERMS
    for strands, limit in numbered:
        rest = strands
        while rest:
            if not room:
                parts.append([])
                room = MAX_TERMS
            parts[-1].append((rest[:room], limit))
            room, rest = room - len(rest[:room]), rest[room:]
    return parts


def _within_limits(rows: list[Any], numbered: Numbered, limit: int) -> list[Any]:
    """Apply the limits of the sources, and of all, to rows merged from several parts."""
    source_of = {
        number: index for index, (strands, _) in enumerate(numbered) for number, _ in strands
    }
    room = [source_limit for _, source_limit in numbered]
    taken: list[Any] = []
    for row in rows:
        source = source_of[row[STRAND]]
        if room[source] and len(taken) < limit:
            room[source] -= 1
            taken.append(row)
    return taken


def _merged_part(tx: Transaction, sources: Numbered, limit: int) -> list[Any]:
    free = [strand for strands, most in sources if most >= limit for strand in strands]
    limited = [(strands, most) for strands, most in sources if most < limit]
    shape = tuple(tuple(strand.by for _, strand in strands) for strands, _ in limited)
    sql = tx.moves.merged_head(tuple(strand.by for _, strand in free), shape)
    parameters: list[object] = []
    for number, strand in free:
        parameters += (number, strand.key)
    for strands, most in limited:
        for number, strand in strands:
            parameters += (number, strand.key)
        parameters.append(most)
    parameters.append(limit)
    return tx.rows(sql, parameters)
