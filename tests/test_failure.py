"""Errors as stored: whatever they are, cut to size, readable."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobyard.errors import PayloadDecodeError
from jobyard.failure import ERROR_LIMIT, JobError, describe, pack_error, unpack_error


def raised(error: BaseException) -> BaseException:
    with contextlib.suppress(BaseException):
        raise error
    return error


@given(st.text(max_size=200), st.integers(1, 40_000))
@pytest.mark.case("B24")
def test_any_error_fits_and_comes_back(text: str, times: int) -> None:
    error = raised(ValueError(text * times))
    packed = pack_error(describe(error, stack_limit=50))
    assert len(packed) <= ERROR_LIMIT
    stored = unpack_error(packed)
    assert stored is not None
    assert stored.type == "ValueError"


@pytest.mark.case("B24")
def test_a_cycle_of_causes_is_no_trouble() -> None:
    one, other = raised(ValueError("one")), raised(KeyError("other"))
    one.__cause__, other.__cause__ = other, one
    assert "other" in describe(one, stack_limit=5).traceback


class Odd(Exception):
    def __str__(self) -> str:
        raise self

    __repr__ = __str__


@pytest.mark.case("B24")
def test_hostile_methods_are_survived() -> None:
    error = Odd()
    error.add_note("note")
    assert describe(raised(error), stack_limit=5).type.endswith("Odd")


def test_an_error_shows_in_a_line() -> None:
    assert str(JobError(type="KeyError", message="'x'")) == "KeyError: 'x'"
    assert str(JobError(type="KeyError", message="")) == "KeyError"


def test_a_corrupt_stored_error_is_told() -> None:
    assert unpack_error(None) is None
    with pytest.raises(PayloadDecodeError):
        unpack_error(b"{}")
