"""What a store says of itself."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to a ping: which product and version answered, and its time."""

    product: str
    version: str
    now: int


class Severity(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    ADVICE = "advice"
    """Something that could be better; every promise is kept."""
    WARNING = "warning"
    """A promise is weaker than it should be: `strict=True` refuses to open."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fact about what the store really promises, and what to do about it."""

    subject: str
    severity: Severity
    text: str
