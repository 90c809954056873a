"""Whatever bytes or text arrive: what reads them answers, or raises an error of jobyard's.

`make fuzz` runs these with a hundred times as many examples, drawn anew each time.
"""

from __future__ import annotations

import contextlib
import string
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobyard import codec
from jobyard.contract import MAX_INSTANT
from jobyard.errors import (
    InvalidOption,
    InvalidUrl,
    JobyardError,
    PayloadDecodeError,
    PayloadError,
    StoreCorrupt,
)
from jobyard.failure import JobError, describe, pack_error, unpack_error
from jobyard.job import Dedup, Dependency, Group, JobSpec, JobState, OnParentFailure, RateKey
from jobyard.options import RunOptions, unpack
from jobyard.payloads import BUILT_IN, Payloads
from jobyard.plan import Schedule
from jobyard.plugins import open_backend
from jobyard.presence import WorkerInfo, read_worker
from jobyard.schedule import ScheduleRecord
from jobyard.timing import Cron
from jobyard.url import BackendUrl, masked
from jobyard_postgres.bell import read_ring
from jobyard_redis import records
from jobyard_sqlite.signals import read_batch

LONG = 200_000
"""Characters of a text that takes minutes to read if that takes a step for each pair of them."""

# -- payloads, results, errors -------------------------------------------------------------------

DEEP = b"[" * 50_000
SPOILT = st.one_of(
    st.binary(max_size=200),
    st.text(alphabet='[]{}":,0123456789eE+-.\\untrfals \x00\ud800', max_size=200).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    ),
    st.tuples(st.sampled_from([b"[", b'{"a":', b'"', b"1", b"\x91", b"\x81\xa1a"]), st.binary())
    .map(lambda parts: parts[0] * 500 + parts[1]),
)  # fmt: skip


@given(SPOILT)
@example(DEEP)
@example(b'{"a":' * 50_000)
@example(b"9" * 100_000)
@example(b'"\\ud800"')
def test_json_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(PayloadDecodeError):
        codec.decode(data)


def stored(payload: bytes, options: bytes) -> JobSpec:
    return JobSpec(id="a", queue="q", name="n", payload=payload, options=options)


@given(SPOILT, st.sampled_from([each.name for each in BUILT_IN]))
@example(b"\x91" * 50_000, "msgpack")
@example(b"\xa1\xff", "msgpack")
@example(b"\xc7\x05\xffabcde", "msgpack")
def test_payloads_of_any_bytes_are_read_or_refused_by_every_codec(data: bytes, name: str) -> None:
    packed = msgspec.json.encode(RunOptions(codec=name))
    with contextlib.suppress(PayloadDecodeError):
        Payloads().decode(stored(data, packed))


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=8),
        st.text(alphabet=st.characters(), max_size=20), st.complex_numbers(), st.uuids(),
        st.builds(object),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner), st.frozensets(st.integers()),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.booleans()), inner, max_size=4),
    ),
    max_leaves=12,
)  # fmt: skip


@given(ANYTHING, st.sampled_from(["json", *(each.name for each in BUILT_IN)]))
def test_what_a_codec_takes_comes_back(value: Any, name: str) -> None:
    packed = b"" if name == "json" else msgspec.json.encode(RunOptions(codec=name))
    payloads = Payloads()
    try:
        data = payloads.encode("q", "n", value, packed)
    except PayloadError:
        return
    back = payloads.decode(stored(data, packed))
    assert payloads.encode("q", "n", back, packed) == data


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("name", ["json", "msgpack"])
@pytest.mark.parametrize(
    "value", [nested(100_000), 10**5_000, {"a": float("nan")}, {1: 2}, "\ud800"], ids=range(5)
)
def test_values_that_would_not_come_back_are_refused(name: str, value: Any) -> None:
    packed = b"" if name == "json" else msgspec.json.encode(RunOptions(codec=name))
    if (name, value) != ("msgpack", {1: 2}):  # which MessagePack can hold
        with pytest.raises(PayloadError):
            Payloads().encode("q", "n", value, packed)


@given(SPOILT)
@example(DEEP)
@example(b'{"type":"a","message":"\xff"}')
@example(b'{"type":"a","message":"b","x":' + DEEP)
def test_an_error_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(PayloadDecodeError):
        unpack_error(data)


@given(st.text(alphabet=st.characters()), st.integers(0, 5))
@example("x" * LONG, 5)
@example("a://" * (LONG // 4), 5)
@example("a://b:" * (LONG // 6), 5)
@example("?token=" * (LONG // 7) + "://", 5)
def test_an_error_of_any_text_is_stored_and_read_back(text: str, limit: int) -> None:
    described = describe(ValueError(text), stack_limit=limit)
    assert isinstance(unpack_error(pack_error(described)), JobError)


# -- options, schedules, workers -----------------------------------------------------------------


@given(SPOILT)
@example(DEEP)
@example(b'{"codec":"\xff"}')
def test_options_of_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(StoreCorrupt):
        unpack(data)


@given(SPOILT)
@example(b"\x91" * 50_000)
def test_a_schedule_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    record = ScheduleRecord(key="k", definition=data, next_at=None)
    with contextlib.suppress(StoreCorrupt):
        Schedule.of(record, Payloads())


@pytest.mark.parametrize("read", [read_worker, read_batch], ids=["worker", "events"])
@given(data=SPOILT)
@example(data=b"\x91" * 50_000)
def test_what_a_store_keeps_of_workers_and_events_is_read_or_refused(
    read: Callable[[bytes], Any], data: bytes
) -> None:
    with contextlib.suppress(StoreCorrupt):
        read(data)


def test_a_worker_comes_back() -> None:
    info = WorkerInfo(id="w", host="h", pid=1, queues=("q",), concurrency=2)
    assert read_worker(msgspec.msgpack.encode(info)) == info


@given(st.text(max_size=100))
@example("[" * 50_000)
def test_any_notice_of_postgresql_is_a_hint(text: str) -> None:
    assert read_ring(text) is not None


# -- the records of Redis ------------------------------------------------------------------------

NAMES = st.text(alphabet=string.ascii_letters + string.digits + "_.-", min_size=1, max_size=8)
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
SPECS = st.builds(
    JobSpec,
    id=NAMES, queue=NAMES, name=NAMES, lifo=st.booleans(), priority=st.integers(-100, 100),
    payload=st.binary(max_size=20), options=st.binary(max_size=20),
    group=st.none() | st.builds(Group, key=TEXTS, limit=st.integers(1, 9)),
    rate=st.none() | st.builds(RateKey, key=TEXTS, count=st.just(3), per_ms=st.just(7)),
    dedup=st.none() | st.builds(Dedup, key=TEXTS),
    depends_on=st.lists(
        st.builds(Dependency, parent=NAMES, on_failure=st.sampled_from(OnParentFailure)), max_size=3
    ).map(tuple),
)  # fmt: skip


def written(spec: JobSpec) -> bytes:
    """Write a record as add.lua does."""
    flags = records.flags_of(spec) & records.RECORDED
    size = str(len(spec.options)) if spec.options else ""
    shape = f"{spec.queue}||{spec.name}|{spec.attempts}|{spec.max_crashes}|{spec.priority}"
    head = (7).to_bytes(5) + records.FLAGS[flags] + (5).to_bytes(6)
    wishes = records.wishes_of(spec) + b"\n" if flags & records.WISHES else b""
    return head + f"4||{size}|{shape}\n".encode() + wishes + spec.options + spec.payload


@given(SPECS)
def test_a_record_of_redis_comes_back(spec: JobSpec) -> None:
    read = records.read_record(written(spec))
    assert (read.no, read.queue, read.name) == (7, spec.queue, spec.name)
    assert (read.options, read.payload) == (spec.options, spec.payload)
    wishes = read.wishes
    assert wishes.group == (None if spec.group is None else spec.group.key)
    assert wishes.rate == (None if spec.rate is None else spec.rate.key)
    assert wishes.dedup == (None if spec.dedup is None else spec.dedup.key)
    assert wishes.depends_on == tuple(each.parent for each in spec.depends_on)


@st.composite
def spoilt_records(draw: st.DrawFn) -> bytes:
    """Draw a record in which some bytes are others, or missing, or too many."""
    record = bytearray(written(draw(SPECS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(record) - 1)))
        record[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(record)


FACTS = b"c|1|0|0|0|3|1|2||l|exhausted|w|2|1\nerr"


@given(st.one_of(st.binary(max_size=100), spoilt_records()))
@example(b"")
@example(b"|" * 12)
@example(b"|" * LONG)
def test_a_record_of_redis_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    for shown in (
        [b"a", data, FACTS, b"w", None, None, None],
        [b"a", written(JobSpec(id="a", queue="q")), data, b"c", None, None, None],
        [b"a", written(JobSpec(id="a", queue="q")), FACTS, b"a", data, None, None],
        [data, written(JobSpec(id="a", queue="q")), FACTS, b"c", None, None, None],
        [b"a", written(JobSpec(id="a", queue="q")), FACTS, data, None, None, None],
    ):
        with contextlib.suppress(StoreCorrupt):
            assert isinstance(records.job_record(shown).state, JobState)
    with contextlib.suppress(StoreCorrupt):
        records.read_record(data)
    with contextlib.suppress(StoreCorrupt):
        records.read_facts(data)


# -- URLs ----------------------------------------------------------------------------------------

PARTS = st.text(
    alphabet=string.ascii_letters + string.digits + ":/@?&=#%[].,-+ é\x00\n*", max_size=20
)


@given(
    st.sampled_from(["sqlite", "postgresql", "redis", "rediss", "unix", "memory", "x+y", ""]),
    st.sampled_from(["://", "://", "://", ":", "//", ":///"]),
    st.lists(PARTS, max_size=4).map("".join),
    st.sampled_from(["", "?", "?timeout=1", "?durability=fast&", "?schema=", "?db=-1", "?db=9e9"]),
    PARTS,
)
def test_any_url_opens_a_backend_or_is_refused(
    scheme: str, separator: str, place: str, options: str, last: str
) -> None:
    with contextlib.suppress(JobyardError):
        backend = open_backend(scheme + separator + place + options + last)
        assert str(backend.url)


@given(
    st.sampled_from(["redis", "postgresql"]),
    st.text(alphabet=string.ascii_letters + string.digits + "%@:/ é\x00", max_size=20),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.integers(0, 65_535),
)
def test_a_url_comes_back_as_it_was_written(
    scheme: str, user: str, password: str, port: int
) -> None:
    from urllib.parse import quote

    url = BackendUrl.parse(
        f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@host:{port}/a%20b"
    )
    assert (url.username, url.password, url.port) == (user, password, port)
    assert (url.host, url.path) == ("host", "/a b")
    again = BackendUrl.parse(str(url))
    assert (again.username, again.password, again.path) == (user, "***", url.path)


@pytest.mark.parametrize(
    "text",
    [
        "redis://" + "a" * LONG, "redis://" + "@" * LONG, "redis://" + ":" * LONG,
        "redis://h?" + "a=b&" * LONG, "redis://h/" + "%" * LONG, "redis://[" + ":" * LONG,
        "a://b:" * LONG, "a" * LONG + "://",
    ],
    ids=range(8),
)  # fmt: skip
def test_a_long_url_is_read_at_once(text: str) -> None:
    with contextlib.suppress(InvalidUrl):
        str(BackendUrl.parse(text))
    assert masked(text[:100_000])


# -- cron ----------------------------------------------------------------------------------------

FIELD = st.one_of(
    st.sampled_from(
        ["*", "*/5", "0", "59", "L", "?", "mon", "JAN", "1-5", "2#3", "5L", "*/0", "60"]
    ),
    st.text(alphabet=string.digits + "*/,-L#?W", min_size=1, max_size=6),
)  # fmt: skip


@given(
    st.one_of(
        st.lists(FIELD, min_size=4, max_size=7).map(" ".join),
        st.text(max_size=30),
        st.sampled_from(["@daily", "@reboot", "@every 5s", "@HOURLY", "@midnight", "@annually"]),
    ),
    st.sampled_from(
        ["UTC", "Europe/Berlin", "Pacific/Apia", "Nowhere/At_all", "../../etc/passwd", ""]
    ),
    st.integers(0, MAX_INSTANT),
)
@example("0 0 30 2 *", "UTC", 0)
@example("0 0 29 2 1", "UTC", 0)
@example("*/9999999999999999999 * * * *", "UTC", 0)
@example("0-9999999 * * * *", "UTC", 0)
@example("1," * 2_000 + "1 * * * *", "UTC", 0)
@example("* * * * * * *", "UTC", 0)
@example("0 0 31 4,6,9,11 *", "Europe/Berlin", MAX_INSTANT)
def test_any_cron_expression_gives_a_later_tick_or_is_refused(
    expression: str, zone: str, instant: int
) -> None:
    try:
        cron = Cron.of(expression, zone)
    except InvalidOption:
        return
    tick = cron.after(instant)
    assert tick is None or instant < tick <= MAX_INSTANT
    assert Cron.of(cron.expression, zone) == cron, "the normal form of an expression is stable"
