"""The codec: equal back, or refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobyard import codec
from jobyard.errors import PayloadDecodeError, PayloadNotPortable

ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(alphabet=st.characters()),
        st.binary(max_size=8),
        st.dates(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.none()), inner, max_size=4),
        st.frozensets(st.integers(), max_size=3),
    ),
    max_leaves=12,
)


def with_lists(value: object) -> object:
    match value:
        case list() | tuple():
            return [with_lists(item) for item in value]
        case dict():
            return {key: with_lists(item) for key, item in value.items()}
        case _:
            return value


@given(ANYTHING)
def test_what_is_accepted_comes_back_equal(value: object) -> None:
    try:
        data = codec.encode(value, limit=1_000_000)
    except PayloadNotPortable:
        return
    assert codec.decode(data) == with_lists(value)


@given(st.binary(max_size=64))
def test_any_bytes_decode_or_are_told_of(data: bytes) -> None:
    # Not even as its cause does the error carry the bytes.
    with contextlib.suppress(PayloadDecodeError):
        codec.decode(data)


def test_the_place_of_the_trouble_is_named() -> None:
    with pytest.raises(PayloadNotPortable, match=r"the payload\['a'\]\[1\]: .*set"):
        codec.encode({"a": [1, {2}]}, limit=1000)
    with pytest.raises(PayloadDecodeError):
        codec.decode(b"[" * 100_000)
