"""K-025: codecs, and what a payload of a type becomes in the store."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest

from jobyard.errors import (
    ConfigError,
    InvalidOption,
    PayloadDecodeError,
    PayloadNotPortable,
    PayloadTooLarge,
)
from jobyard.job import JobSpec
from jobyard.options import RunOptions, pack
from jobyard.payloads import MessagePack, Payloads, Raw
from jobyard.shape import Shape


def options(codec: str) -> bytes:
    return pack(RunOptions(codec=codec))


def there_and_back(payloads: Payloads, value: object, codec: str) -> object:
    data = payloads.encode("q", "n", value, options(codec))
    return payloads.decode(
        JobSpec(id="x", queue="q", name="n", payload=data, options=options(codec))
    )


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        ("json", {"a": [1, 2.5, None, "ü"]}),
        ("msgpack", {"a": [1, 2.5, None, "ü"], 7: b"\x00\xff"}),
        ("msgpack", datetime(2026, 5, 4, 12, tzinfo=UTC)),
        ("raw", bytes(range(256))),
        ("raw", b""),
    ],
)
def test_k025_a_payload_comes_back(codec: str, value: object) -> None:
    assert there_and_back(Payloads(), value, codec) == value


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        ("msgpack", {1, 2}),
        ("msgpack", [math.nan]),
        ("msgpack", object()),
        ("msgpack", 2**70),
        ("raw", "text"),
        ("raw", bytearray(b"x")),
        ("json", b"x"),
    ],
)
def test_k025_what_would_not_come_back_equal_is_refused(codec: str, value: object) -> None:
    with pytest.raises(PayloadNotPortable):
        Payloads().encode("q", "n", value, options(codec))


def test_tuples_come_back_as_lists_from_messagepack_too() -> None:
    assert there_and_back(Payloads(), {"a": (1, (2,))}, "msgpack") == {"a": [1, [2]]}


def test_k025_too_deep_or_too_large_is_refused_whatever_the_codec() -> None:
    deep: list[Any] = []
    for _ in range(65):
        deep = [deep]
    with pytest.raises(PayloadNotPortable, match="deeper"):
        Payloads().encode("q", "n", deep, options("msgpack"))
    with pytest.raises(PayloadTooLarge, match="262,144"):
        Payloads().encode("q", "n", bytes(256 * 1024 + 1), options("raw"))


class Squeezed:
    name = "zlib"

    def encode(self, value: str) -> bytes:
        return zlib.compress(value.encode())

    def decode(self, data: bytes) -> str:
        return zlib.decompress(data).decode()


def test_k025_a_codec_is_a_plug() -> None:
    assert there_and_back(Payloads([Squeezed()]), "abc" * 99, "zlib") == "abc" * 99
    data = Payloads([Squeezed()]).encode("q", "n", "abc", options("zlib"))
    job = JobSpec(id="x", queue="q", payload=data, options=options("zlib"))
    with pytest.raises(PayloadDecodeError, match="codec 'zlib'"):
        Payloads().decode(job)
    with pytest.raises(InvalidOption, match="known are json, msgpack, raw"):
        Payloads().encode("q", "n", "abc", options("zlib"))
    assert Payloads([Squeezed()]).portable(job) == ("msgpack", MessagePack().encode("abc"))


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_k025_bytes_that_cannot_be_read_are_told_as_that(codec: str) -> None:
    job = JobSpec(id="x", queue="q", payload=b"\xc1", options=options(codec))
    with pytest.raises(PayloadDecodeError):
        Payloads().decode(job)


@pytest.mark.parametrize("name", ["json", "raw", "", "UPPER", "a b", None])
def test_a_codec_needs_a_name_of_its_own(name: object) -> None:
    codec = Raw()
    codec.name = name  # type: ignore[misc, assignment]
    with pytest.raises(ConfigError):
        Payloads([codec])


# -- types -----------------------------------------------------------------------------------------


@dataclass
class Order:
    id: UUID
    at: datetime
    lines: list[tuple[str, int]]


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Plain:
    """No type that plain values can stand for."""


class Keyed(TypedDict):
    name: str


class Model(pydantic.BaseModel):
    at: datetime
    size: int = pydantic.Field(gt=0)


ORDER = Order(UUID(int=5), datetime(2026, 5, 4, tzinfo=UTC), [("a", 1)])
AT = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Order, ORDER),
        (Point, Point(1)),
        (Keyed, {"name": "x"}),
        (Model, Model(at=AT, size=3)),
        (dict[str, int], {"a": 1}),
        (int | None, None),
        (tuple[int, str], (1, "a")),
        (bytes, b"\x00\xff"),
    ],
)
@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_k026_payloads_of_a_type_come_back_as_it(kind: Any, value: object, codec: str) -> None:
    payloads = Payloads()
    payloads.shapes["q", "n"] = Shape(kind)
    back = there_and_back(payloads, value, codec)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Order, {"id": "x"}),
        (Order, Point(1)),
        (Point, Point("one")),  # type: ignore[arg-type]
        (Point, None),
        (Keyed, {"name": 5}),
        (Model, {"at": AT, "size": 3}),
        (Model, Model.model_construct(at=AT, size=-1)),
        (int, "5"),
        (int, 5.5),
    ],
)
def test_k026_what_is_not_of_the_type_is_refused(kind: Any, value: object) -> None:
    with pytest.raises(PayloadNotPortable, match=r"the payload is no|would not come back"):
        Shape(kind).encode(value)


@pytest.mark.parametrize(
    ("kind", "plain"),
    [(Point, {"x": "a"}), (Point, 5), (Model, {"at": "x", "size": 1}), (int, "5")],
)
def test_k026_stored_values_that_do_not_fit_are_told_as_that(kind: Any, plain: object) -> None:
    with pytest.raises(PayloadDecodeError, match="the payload is no"):
        Shape(kind).decode(plain)


def test_a_type_that_nothing_plain_stands_for_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be the type"):
        Shape(Plain)
