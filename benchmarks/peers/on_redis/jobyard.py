"""jobyard on Redis."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.peers.ours import Ours


class Jobyard(Ours):
    """What the page calls jobyard."""

    packages: ClassVar[tuple[str, ...]] = ("jobyard", "redis", "hiredis")
