"""The version of the contract, its limits, and the qualities that a store may have."""

from __future__ import annotations

from enum import Flag, auto
from typing import Final

__all__ = ["CONTRACT", "DEFAULT_NAMESPACE", "MAX_INSTANT", "MAX_UNIT", "Capability"]

CONTRACT: Final = (0, 1)
"""The version of this contract; a backend states the one that it fulfils."""

DEFAULT_NAMESPACE: Final = "jobyard"

MAX_INSTANT: Final = 2**42 - 1
"""The last instant that every store can order, in the year 2109."""

MAX_UNIT: Final = 10_000
"""The most jobs that one unit may have."""


class Capability(Flag):
    """Qualities of a store; never a missing method."""

    NONE = 0
    SHARED = auto()
    """Several processes may open the same namespace at once."""
    DURABLE = auto()
    """What was acknowledged survives kills and restarts."""
    PUSH = auto()
    """`listen` wakes across handles without polling."""
    CALLER_TX = auto()
    """`add(within=…)` joins the caller's transaction."""
