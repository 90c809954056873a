"""Payloads and results as JSON bytes, refused when they would not come back equal."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from jobyard.errors import PayloadDecodeError, PayloadNotPortable, PayloadTooLarge

__all__ = ["MAX_DEPTH", "decode", "encode"]

MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 4_300
"""The longest integer: Python itself reads no longer one back (`sys.set_int_max_str_digits`)."""

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder()


def encode(value: object, *, limit: int, what: str = "the payload") -> bytes:
    """Encode a value as JSON.

    Raises `PayloadTooLarge` past `limit` bytes, and `PayloadNotPortable` naming the place of what
    JSON would change: NaN, sets, bytes, keys that are not strings, nesting past 64. Tuples come
    back as lists.
    """
    try:
        data = _encoder.encode(value)
        # The fast proof that it comes back equal; only where it fails is the value walked.
        whole = _decoder.decode(data) == value and _is_shallow(data)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        _walk(value, what, 1)
        msg = f"{what} cannot be written as JSON"
        raise PayloadNotPortable(msg) from None
    if not whole:
        _walk(value, what, 1)
    if len(data) > limit:
        msg = (
            f"{what} is {len(data):,} bytes of JSON, more than the limit of {limit:,}: store it "
            "elsewhere and pass a reference"
        )
        raise PayloadTooLarge(msg)
    return data


def decode(data: bytes, *, what: str = "the payload") -> Any:
    """Decode JSON bytes; raise `PayloadDecodeError`, which does not quote them."""
    try:
        return _decoder.decode(data)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        msg = f"{what} of {len(data):,} bytes is not JSON: {type(error).__name__}"
        raise PayloadDecodeError(msg) from None


def _is_shallow(data: bytes) -> bool:
    return data.count(b"[") + data.count(b"{") <= MAX_DEPTH


def _walk(value: object, path: str, depth: int) -> None:
    match value:
        case list() | tuple():
            _check_depth(path, depth)
            for index, item in enumerate(value):
                _walk(item, f"{path}[{index}]", depth + 1)
        case dict():
            _check_depth(path, depth)
            for key, item in value.items():
                if not isinstance(key, str):
                    _refuse(path, f"the key {key!r}, which is not a string,")
                _check_text(key, path)
                _walk(item, f"{path}[{key!r}]", depth + 1)
        case _:
            _check_scalar(value, path)


def _check_scalar(value: object, path: str) -> None:
    match value:
        case None | bool():
            return
        case int():
            if len(_digits(value)) > MAX_DIGITS:
                _refuse(path, f"an integer of more than {MAX_DIGITS:,} digits")
        case float():
            if not math.isfinite(value):
                _refuse(path, f"the number {value!r}")
        case str():
            _check_text(value, path)
        case _:
            _refuse(path, f"a value of type {type(value).__name__}")


def _digits(value: int) -> str:
    try:
        return str(abs(value))
    except ValueError:
        return "9" * (MAX_DIGITS + 1)


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse(path, "text with a lone surrogate")


def _check_depth(path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        place = path if len(path) <= 60 else path[:57] + "..."
        msg = f"{place}: nested deeper than {MAX_DEPTH} levels"
        raise PayloadNotPortable(msg)


def _refuse(path: str, found: str) -> None:
    msg = (
        f"{path}: {found} would not come back equal from JSON; pass None, bool, int, float, str, "
        "list or dict with string keys"
    )
    raise PayloadNotPortable(msg)
