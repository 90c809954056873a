"""A process of the benchmarks: `python -m benchmarks.child ROLE URL OPTIONS`."""

from __future__ import annotations

import asyncio
import json
import sys

from benchmarks.roles import ROLES
from benchmarks.stage import Stage


async def main(role: str, url: str, options: str) -> None:
    """Play a role and say what came of it."""
    stage = Stage()
    stage.say(**await ROLES[role](url, stage, json.loads(options)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
