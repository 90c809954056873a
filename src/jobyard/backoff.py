"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from jobyard.durations import Duration, to_ms
from jobyard.errors import InvalidOption

__all__ = ["Backoff"]

HOUR_MS: Final = 3_600_000


class Backoff(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The delay before each further attempt; made by `fixed`, `linear` or `exponential`.

    >>> Backoff.exponential(2.0).delay_ms(failures=3, draw=lambda: 0.5)
    8000
    """

    kind: Literal["fixed", "linear", "exponential"]
    base_ms: int
    factor: float = 2.0
    max_ms: int = HOUR_MS
    jitter: float = 0.0

    @classmethod
    def fixed(cls, delay: Duration, *, jitter: float = 0.0) -> Backoff:
        """Wait the same time before each attempt."""
        base = to_ms(delay, "the delay of a fixed backoff")
        return cls(kind="fixed", base_ms=base, max_ms=max(base, HOUR_MS), jitter=_share(jitter))

    @classmethod
    def linear(
        cls,
        step: Duration,
        *,
        max: Duration = 3600,  # noqa: A002 - reads well at the call
        jitter: float = 0.1,
    ) -> Backoff:
        """Wait `step` before the second attempt, twice that before the third, and so on."""
        return cls(
            kind="linear",
            base_ms=to_ms(step, "the step of a linear backoff"),
            max_ms=to_ms(max, "the max of a backoff"),
            jitter=_share(jitter),
        )

    @classmethod
    def exponential(
        cls,
        first: Duration = 1.0,
        *,
        factor: float = 2.0,
        max: Duration = 3600,  # noqa: A002 - reads well at the call
        jitter: float = 0.1,
    ) -> Backoff:
        """Wait `first` before the second attempt, `factor` times as long before each further one.

        No wait is longer than `max` seconds; `jitter` is the share by which a wait may be shorter
        or longer, so that jobs that failed together do not come back together.
        """
        if isinstance(factor, bool) or not 1.0 <= factor <= 1_000:
            msg = f"the factor of a backoff is from 1 to 1000, not {factor!r}"
            raise InvalidOption(msg)
        return cls(
            kind="exponential",
            base_ms=to_ms(first, "the first delay of an exponential backoff"),
            factor=float(factor),
            max_ms=to_ms(max, "the max of a backoff"),
            jitter=_share(jitter),
        )

    def delay_ms(self, *, failures: int, draw: Callable[[], float] = random.random) -> int:
        """Tell the wait after the given number of failed runs, at least one.

        Never fails: past `max` the power is not computed.
        """
        match self.kind:
            case "fixed":
                delay = float(self.base_ms)
            case "linear":
                delay = float(self.base_ms) * failures
            case "exponential":
                delay = self._power(failures - 1)
        delay = min(delay, self.max_ms)
        if self.jitter:
            delay *= 1 + self.jitter * (2 * draw() - 1)
        return round(min(delay, self.max_ms))

    def _power(self, exponent: int) -> float:
        try:
            return self.base_ms * self.factor**exponent
        except OverflowError:
            return float(self.max_ms)


def _share(jitter: float) -> float:
    if isinstance(jitter, bool) or not 0.0 <= jitter <= 1.0:
        msg = f"the jitter of a backoff is a share from 0 to 1, not {jitter!r}"
        raise InvalidOption(msg)
    return float(jitter)


DEFAULT: Final = Backoff.exponential(1.0)
