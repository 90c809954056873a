"""Reading what is written on the command line: durations, instants, payloads, options of jobs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import typer

from jobyard.durations import instant_ms
from jobyard.options import read_options

__all__ = [
    "check_options",
    "job_options",
    "options_of",
    "read_duration",
    "read_instant",
    "read_payload",
]

DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)?", re.ASCII)
UNITS: Final[Mapping[str, float]] = {
    "ms": 0.001,
    "s": 1,
    "m": 60,
    "min": 60,
    "h": 3_600,
    "d": 86_400,
}
INSTANTS: Final = frozenset({"run_at"})
DURATIONS: Final = frozenset({"delay", "timeout", "ttl", "backoff"})


def read_duration(text: str | float) -> float:
    """Read seconds, or a number with a unit; raise a usage error for anything else.

    >>> read_duration("90"), read_duration("1.5h"), read_duration("7d")
    (90.0, 5400.0, 604800.0)
    """
    if isinstance(text, float):  # the default of an option
        return text
    match = DURATION.fullmatch(text.strip())
    if match is None:
        msg = f"{text!r} is no duration: write seconds, or a number with ms, s, m, h or d, as in 5m"
        raise typer.BadParameter(msg)
    return float(match[1]) * UNITS[match[2] or "s"]


def read_instant(text: str) -> datetime:
    """Read an instant with its time zone; raise a usage error for anything else.

    >>> read_instant("2026-11-27T02:00:00+01:00").utcoffset()
    datetime.timedelta(seconds=3600)
    """
    try:
        at = datetime.fromisoformat(text)
        instant_ms(at, "the instant")
    except ValueError:  # which a naive instant, and one beyond the year 2109, raise too
        msg = (
            f"{text!r} is no instant with a time zone: write it as in 2026-11-27T02:00:00Z or "
            "2026-11-27T02:00:00+01:00"
        )
        raise typer.BadParameter(msg) from None
    return at


def read_payload(text: str | None) -> Any:
    """Read a payload written as JSON; raise a usage error for what is none."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = (
            f"the payload is no JSON: {error}. Quote it for the shell, as in "
            "'{\"user_id\": 1}', and a text twice: '\"text\"'"
        )
        raise typer.BadParameter(msg, param_hint="DATA") from None


def job_options(pairs: Iterable[str]) -> dict[str, Any]:
    """Read `name=value` pairs into options of a job; a value is JSON, or else text."""
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            msg = f"{pair!r} is no option of a job: write name=value, as in timeout=30"
            raise typer.BadParameter(msg, param_hint="--option")
        if name in options:
            msg = f"the option {name} is given twice"
            raise typer.BadParameter(msg, param_hint="--option")
        options[name] = _value(text)
    return options_of(options)


def check_options(options: Mapping[str, Any]) -> None:
    """Raise a usage error for a name that is no option of a job, `InvalidOption` for a value."""
    try:
        read_options(options)
    except TypeError as error:
        raise typer.BadParameter(str(error), param_hint="--option") from None


def options_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Turn what JSON can hold into options of a job; raise a usage error for what is none.

    Instants are text with a time zone; durations may have units. Whether an option may have its
    value is for who adds the job to say.
    """
    return {name: _option(name, value) for name, value in options.items()}


def _option(name: str, value: Any) -> Any:
    if isinstance(value, str) and name in INSTANTS:
        return read_instant(value)
    if isinstance(value, str) and name in DURATIONS:
        return read_duration(value)
    return value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
