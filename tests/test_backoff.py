"""Backoff: exact below its limits, never failing beyond them."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobyard import Backoff
from jobyard.errors import InvalidOption


def waits(backoff: Backoff, count: int = 5) -> list[int]:
    return [backoff.delay_ms(failures=n, draw=lambda: 0.5) for n in range(1, count + 1)]


def test_each_kind() -> None:
    assert waits(Backoff.fixed(2)) == [2000] * 5
    assert waits(Backoff.fixed(timedelta(milliseconds=1))) == [1] * 5
    assert waits(Backoff.linear(1.5)) == [1500, 3000, 4500, 6000, 7500]
    assert waits(Backoff.exponential(1)) == [1000, 2000, 4000, 8000, 16000]
    assert waits(Backoff.exponential(1, factor=3, max=10)) == [1000, 3000, 9000, 10000, 10000]
    assert waits(Backoff.fixed(7200)) == [7_200_000] * 5


@given(
    failures=st.integers(1, 2**31),
    first=st.floats(0, 1e6),
    factor=st.floats(1, 1000),
    most=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
    draw=st.floats(0, 1),
)
@pytest.mark.case("T07")
def test_no_wait_fails_or_is_out_of_bounds(failures, first, factor, most, jitter, draw) -> None:
    backoff = Backoff.exponential(first, factor=factor, max=most, jitter=jitter)
    assert 0 <= backoff.delay_ms(failures=failures, draw=lambda: draw) <= round(most * 1000)


def test_jitter_spreads_both_ways() -> None:
    backoff = Backoff.exponential(10, jitter=0.1)
    assert backoff.delay_ms(failures=1, draw=lambda: 0.0) == 9000
    assert backoff.delay_ms(failures=1, draw=lambda: 1.0) == 11000


def test_it_travels_as_data() -> None:
    backoff = Backoff.exponential(2, max=60)
    assert msgspec.json.decode(msgspec.json.encode(backoff), type=Backoff) == backoff


@pytest.mark.parametrize(
    "make",
    [
        lambda: Backoff.fixed(-1),
        lambda: Backoff.fixed(float("nan")),
        lambda: Backoff.exponential(1, factor=0.5),
        lambda: Backoff.exponential(1, jitter=2),
        lambda: Backoff.exponential(1, max=-1),
        lambda: Backoff.linear("1"),  # type: ignore[arg-type]
    ],
)
@pytest.mark.case("B16")
def test_impossible_ones_are_refused(make) -> None:
    with pytest.raises(InvalidOption):
        make()
