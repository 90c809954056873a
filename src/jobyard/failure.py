"""Why a run failed, as stored with the job: data, never a class to rebuild."""

from __future__ import annotations

import traceback
from typing import Final

import msgspec

from jobyard.errors import PayloadDecodeError
from jobyard.url import LONGEST_SECRET, masked

__all__ = ["JobError", "describe", "pack_error", "unpack_error"]

ERROR_LIMIT: Final = 16 * 1024
"""The most bytes that an error takes in the store."""

MESSAGE_LIMIT: Final = 2_000


class JobError(msgspec.Struct, frozen=True, kw_only=True):
    """A failure: the exception's type by name, its message and its traceback, cut to size."""

    type: str
    message: str
    traceback: str = ""

    def __str__(self) -> str:
        """Show type and message in a line."""
        return f"{self.type}: {self.message}" if self.message else self.type


def describe(error: BaseException, *, stack_limit: int) -> JobError:
    """Tell what an exception says, whatever its own methods do when asked.

    What is secret in URLs, as drivers quote them, is left out.
    `stack_limit` frames of each traceback are kept, the innermost ones.
    """
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    return JobError(
        type=_clean(name, 200),
        message=_clean(_text(error), MESSAGE_LIMIT),
        traceback=_clean(_traceback(error, stack_limit), ERROR_LIMIT),
    )


def pack_error(error: JobError) -> bytes:
    """Encode an error into at most `ERROR_LIMIT` bytes, dropping the start of its traceback."""
    packed = msgspec.json.encode(error)
    excess = len(packed) - ERROR_LIMIT
    while excess > 0:
        # A character takes up to six bytes in JSON, so one cut may not be enough, nor too much.
        kept = error.traceback[max(excess // 6, 64) + 4 :]
        error = JobError(
            type=error.type, message=error.message, traceback=f"...\n{kept}" if kept else ""
        )
        packed = msgspec.json.encode(error)
        excess = len(packed) - ERROR_LIMIT if kept else 0
    return packed


def unpack_error(packed: bytes | None) -> JobError | None:
    """Decode a stored error."""
    if packed is None:
        return None
    try:
        return msgspec.json.decode(packed, type=JobError)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        msg = "the stored error of a job cannot be read"
        raise PayloadDecodeError(msg) from None


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as hostile:  # noqa: BLE001 - a stranger's __str__ may raise anything
        return f"(its message could not be had: {type(hostile).__name__})"


def _traceback(error: BaseException, stack_limit: int) -> str:
    if stack_limit == 0:
        return ""
    try:
        return "".join(traceback.format_exception(error, limit=-stack_limit))
    except Exception as hostile:  # noqa: BLE001 - as above, for causes and notes too
        return f"(its traceback could not be had: {type(hostile).__name__})"


def _clean(text: str, limit: int) -> str:
    if len(text) > limit:
        half = limit // 2
        # Masked before it is cut: half a URL is no URL, and half a password is half a secret.
        head, tail = text[: half + LONGEST_SECRET], text[-half - LONGEST_SECRET :]
        text = f"{masked(head)[:half]}\n...\n{masked(tail)[-half:]}"
    else:
        text = masked(text)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
