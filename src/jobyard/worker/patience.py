"""How long to wait after errors of the store, one after the other."""

from __future__ import annotations

import random
from typing import Final

__all__ = ["Patience", "is_transient"]

FIRST_SECONDS: Final = 0.1
LONGEST_SECONDS: Final = 5.0
GROWTH: Final = 2.0
JITTER: Final = 0.25


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later."""
    return bool(getattr(error, "transient", False))


class Patience:
    """Waits that double from error to error, and start anew after a success."""

    __slots__ = ("_longest", "_next", "errors")

    def __init__(self, longest: float = LONGEST_SECONDS) -> None:
        self._longest = longest
        self._next = FIRST_SECONDS
        self.errors = 0

    def lose(self) -> float:
        """Tell how long to wait after a further error."""
        wait = min(self._next, self._longest)
        self._next = min(self._next * GROWTH, self._longest)
        self.errors += 1
        return wait * (1 + JITTER * (2 * random.random() - 1))

    def regain(self) -> None:
        """Start anew after a success."""
        if self.errors:
            self._next = FIRST_SECONDS
            self.errors = 0
