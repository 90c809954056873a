"""How jobs are written for the scripts, and read back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

from jobyard.errors import StoreCorrupt
from jobyard.job import JobRecord, JobSpec, JobState, Reason, Retain

LIFO: Final = 1
TTL: Final = 2
KEEP_COMPLETED: Final = 4
DROP: Final = 8
KEEP_FAILED: Final = 16
WISHES: Final = 32
"""The job's record has a line of what may hold it back."""

RECORDED: Final = 63
"""The flags that are in the record; those that follow are of leases alone."""

FACTS: Final = 64
"""The job ran before or was edited."""

GATED: Final = 128
"""The job has a group, a rate or parents, which its end concerns."""

NOT_PLAIN: Final = TTL | KEEP_COMPLETED | FACTS | GATED
"""Any of these means that a completed run has to be looked at by itself."""

FIRST: Final = 128
"""What the flags are added to, to be a byte that no id of somebody's own has."""

FLAGS: Final = tuple(bytes((FIRST + flags,)) for flags in range(RECORDED + 1))

UUID_DIGITS: Final = 32
UUID_BYTES: Final = 16

UNREADABLE: Final = (ValueError, LookupError)
"""What reading raises where the bytes are not those that were written."""

STATES: Final = {
    b"w": JobState.WAITING,
    b"d": JobState.DELAYED,
    b"b": JobState.BLOCKED,
    b"a": JobState.ACTIVE,
    b"c": JobState.COMPLETED,
    b"f": JobState.FAILED,
    b"x": JobState.CANCELLED,
    b"s": JobState.STALLED,
    b"l": JobState.DEAD,
}
CODES: Final = {state: code.decode() for code, state in STATES.items()}


def flags_of(spec: JobSpec) -> int:
    """Tell the qualities of a job that decide which way it takes."""
    flags = LIFO if spec.lifo else 0
    if spec.ttl_ms is not None:
        flags |= TTL
    if spec.keep_completed is not None:
        flags |= DROP if spec.keep_completed.count == 0 else KEEP_COMPLETED
    if spec.keep_failed is not None:
        flags |= KEEP_FAILED
    if has_wishes(spec):
        flags |= WISHES
    return flags


def has_wishes(spec: JobSpec) -> bool:
    """Tell whether anything may hold a job back."""
    return bool(spec.group or spec.rate or spec.dedup or spec.depends_on)


def wishes_of(spec: JobSpec) -> bytes:
    """Write what may hold a job back as the line of its record."""
    group, rate, dedup = spec.group, spec.rate, spec.dedup
    fields = (
        "" if group is None else "=" + escaped(group.key),
        "" if group is None else str(group.limit),
        "" if rate is None else "=" + escaped(rate.key),
        "" if rate is None else str(rate.count),
        "" if rate is None else str(rate.per_ms),
        "" if dedup is None else "=" + escaped(dedup.key),
        ",".join(f"{each.on_failure.value[0]}{each.parent}" for each in spec.depends_on),
    )
    return "|".join(fields).encode()


def rule_text(rule: Retain | None) -> str:
    """Write a rule for a job's record."""
    if rule is None:
        return "-"
    count = "" if rule.count is None else rule.count
    return f"{count},{'' if rule.age_ms is None else rule.age_ms}"


def escaped(text: str) -> str:
    """Write a text of any characters as a field of a line."""
    return quote(text, safe="")


def unescaped(field: bytes) -> str:
    """Read what `escaped` has written."""
    return unquote(field.decode())


def packed(job_id: str) -> bytes:
    """Write an id as the keys have it: one of ours as its 16 bytes, any other as it is.

    The ninth byte of a UUID is none that stands in an id that somebody may choose.
    """
    if len(job_id) != UUID_DIGITS or job_id[16] not in "89ab":
        return job_id.encode()
    try:
        found = bytes.fromhex(job_id)
    except ValueError:
        return job_id.encode()  # not all of it are digits
    return found if found.hex() == job_id else job_id.encode()  # some of it are capitals


def spelled(job_id: bytes) -> str:
    """Read an id as the keys have it."""
    if len(job_id) == UUID_BYTES and job_id[8] >= FIRST:
        return job_id.hex()
    return job_id.decode()


def member_of(no: int, flags: int, job_id: str) -> bytes:
    """Write a job's member in sorted sets."""
    written = packed(job_id)
    flags &= RECORDED
    if flags or written[0] >= FIRST:
        return no.to_bytes(5) + FLAGS[flags] + written
    return no.to_bytes(5) + written


class Wishes(NamedTuple):
    """What may hold a job back."""

    group: str | None
    rate: str | None
    dedup: str | None
    depends_on: tuple[str, ...]

    @property
    def are_gates(self) -> bool:
        """Whether the job's end concerns others than the adds to come."""
        return bool(self.group is not None or self.rate is not None or self.depends_on)


NO_WISHES: Final = Wishes(None, None, None, ())


def read_wishes(line: bytes) -> Wishes:
    """Read the line of a record that tells what may hold the job back."""
    group, _, rate, _, _, dedup, parents = line.split(b"|")
    return Wishes(
        _key(group),
        _key(rate),
        _key(dedup),
        tuple(each[1:].decode() for each in parents.split(b",")) if parents else (),
    )


def _key(field: bytes) -> str | None:
    return unescaped(field[1:]) if field else None


class Record(NamedTuple):
    """What was written at a job's add; due, priority and expiry may have changed since."""

    no: int
    flags: int
    due: int
    created: int
    expires: int | None
    priority: int
    queue: str
    channel: str
    name: str
    attempts: int
    max_crashes: int
    options: bytes
    payload: bytes
    wishes: Wishes


class Shape(NamedTuple):
    """What many records have in common."""

    queue: str
    channel: str
    name: str
    attempts: int
    max_crashes: int
    priority: int


@lru_cache(maxsize=4096)
def read_shape(written: bytes) -> Shape:
    """Read what follows the size of the options in a record's line."""
    queue, channel, name, attempts, crashes, *rest = written.split(b"|")
    return Shape(
        queue.decode(),
        channel.decode(),
        name.decode(),
        int(attempts),
        int(crashes),
        int(rest[0]) if rest else 0,
    )


HEAD: Final = 12
"""The bytes of a record before its line: number, flags, instant of the add."""


def read_record(record: bytes) -> Record:
    """Read a job's record."""
    return Record(*fields_of(record))


Fields = tuple[
    int, int, int, int, int | None, int, str, str, str, int, int, bytes, bytes, Wishes
]  # fmt: skip
"""The fields of a `Record`, which takes as long to make as they take to read."""


def fields_of(record: bytes) -> Fields:
    """Read the fields of a job's record; raise `StoreCorrupt` for what is none."""
    try:
        end = record.index(b"\n", HEAD)
        due, expires, size, shape = record[HEAD:end].split(b"|", 3)
        queue, channel, name, attempts, max_crashes, priority = read_shape(shape)
        flags = record[5] - FIRST
        created = int.from_bytes(record[6:HEAD])
        wishes, body = NO_WISHES, end + 1
        if flags & WISHES:
            end = record.index(b"\n", body)
            wishes, body = read_wishes(record[body:end]), end + 1
        payload = body + int(size) if size else body
        return (
            int.from_bytes(record[:5]),
            flags,
            int(due) if due else created,
            created,
            int(expires) if expires else None,
            priority,
            queue,
            channel,
            name,
            attempts,
            max_crashes,
            record[body:payload],
            record[payload:],
            wishes,
        )
    except UNREADABLE:
        raise StoreCorrupt("the record of a job cannot be read back") from None


class Facts(NamedTuple):
    """What has become of a job; `None` where the record still says it."""

    due: int | None
    priority: int | None
    failures: int
    crashes: int
    fence: int
    started: int | None
    finished: int | None
    expires: int | None
    reason: Reason | None
    worker: str | None
    error: bytes | None
    result: bytes | None


NONE_YET: Final = Facts(None, None, 0, 0, 0, None, None, None, None, None, None, None)


def read_facts(facts: bytes | None) -> Facts:
    """Read a job's facts; raise `StoreCorrupt` for what is none."""
    try:
        if facts is None:
            return NONE_YET
        line, _, body = facts.partition(b"\n")
        (
            _state,
            due,
            priority,
            failures,
            crashes,
            fence,
            started,
            finished,
            expires,
            _settled,
            reason,
            worker,
            error_size,
            result_size,
        ) = line.split(b"|")
        error_end = max(int(error_size), 0)
        return Facts(
            _optional(due),
            _optional(priority),
            int(failures),
            int(crashes),
            int(fence),
            _optional(started),
            _optional(finished),
            _optional(expires),
            Reason(reason.decode()) if reason else None,
            unescaped(worker) if worker else None,
            None if int(error_size) < 0 else body[:error_end],
            None if int(result_size) < 0 else body[error_end:],
        )
    except UNREADABLE:
        raise StoreCorrupt("the facts of a job cannot be read back") from None


def _optional(field: bytes) -> int | None:
    return int(field) if field else None


def job_record(shown: Sequence[Any]) -> JobRecord:
    """Read what the scripts show of a job; raise `StoreCorrupt` if it cannot be."""
    try:
        job_id, written, facts_written, state, lease, progress, cancelling = shown
        record, facts = read_record(written), read_facts(facts_written)
        fence, until, started, worker = facts.fence, None, facts.started, facts.worker
        if lease is not None:
            fence_field, until_field, started_field, worker_field = lease.split(b"|")
            fence, until, started = int(fence_field), int(until_field), int(started_field)
            worker = unescaped(worker_field)
        return JobRecord(
            id=spelled(job_id),
            no=record.no,
            queue=record.queue,
            name=record.name,
            channel=record.channel,
            state=STATES[state],
            payload=record.payload,
            options=record.options,
            priority=record.priority if facts.priority is None else facts.priority,
            attempts=record.attempts,
            max_crashes=record.max_crashes,
            failures=facts.failures,
            crashes=facts.crashes,
            fence=fence,
            created_at=record.created,
            due_at=record.due if facts.due is None else facts.due,
            started_at=started,
            finished_at=facts.finished,
            expires_at=record.expires if facts.expires is None else facts.expires,
            lease_until=until,
            worker=worker,
            cancel_asked=bool(cancelling),
            progress=progress,
            result=facts.result,
            error=facts.error,
            reason=facts.reason,
            group=record.wishes.group,
            dedup=record.wishes.dedup,
            depends_on=record.wishes.depends_on,
        )
    except UNREADABLE:
        raise StoreCorrupt("what is stored of a job cannot be read back") from None
