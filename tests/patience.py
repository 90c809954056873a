"""How long a test waits for what should happen at once."""

from __future__ import annotations

from typing import Final

__all__ = ["PATIENCE", "patient"]

PATIENCE: Final = 100.0
"""Seconds after which that is a failure.

No test takes as long, however busy the machine: what takes longer hangs. No assertion reads a
clock to say that something was quick; `timeout` of pyproject.toml is above this.
"""


def patient(url: str) -> str:
    """Let no call to a server be given up because the machine has stood still meanwhile."""
    options = f"timeout={PATIENCE:g}&connect_timeout={PATIENCE:g}"
    return f"{url}{'&' if '?' in url else '?'}{options}"
