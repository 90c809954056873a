"""How long a test waits for what should happen at once."""

from __future__ import annotations

from typing import Final

__all__ = ["PATIENCE"]

PATIENCE: Final = 100.0
"""Seconds after which that is a failure.

No test takes as long, however busy the machine: what takes longer hangs. No assertion reads a
clock to say that something was quick; `timeout` of pyproject.toml is above this.
"""
