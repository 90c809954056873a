"""Processes that kill themselves at one of their calls: `python -m jobyard_conformance.kills`.

It forks a process for each call of the scenario and each moment, once everything is imported, and
writes a line of JSON to its output after the end of each. Each has its own run of the scenario, on
a clock that begins after that of the run before, and its own file of history.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Final

from jobyard.clock import ManualClock
from jobyard.plugins import Plugins, load_plugins, open_backend
from jobyard_conformance.breaking import Moment, broken_at
from jobyard_conformance.child import ADDRESS
from jobyard_conformance.history import Recorder
from jobyard_conformance.scenario import LASTS, Scenario

MOST: Final = 200
"""More calls than the scenario makes."""


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _play(
    plugins: Plugins, namespace: str, scenario: Scenario, *, clock: ManualClock, path: Path, at: int
) -> None:
    moment = Moment(scenario.name.partition("-")[2])
    url = os.environ[ADDRESS]
    handle = open_backend(url, namespace=namespace, clock=clock, plugins=plugins)
    await handle.open()
    with Recorder(path) as recorder:
        session = recorder.observe(broken_at(handle, at, moment, _kill), scenario.name)
        await scenario.play(session.backend, clock)
    await handle.close()


def main(namespace: str, begin: str, folder: str) -> None:
    """Fork and kill until a process comes to the end of the scenario."""
    plugins = load_plugins()
    plugins.resolve(os.environ[ADDRESS].partition(":")[0])  # imported once, for all
    now = int(begin)
    for at in range(1, MOST):
        for moment in Moment:
            scenario = Scenario(f"{at}-{moment}")
            path = Path(folder) / f"{scenario.name}.jsonl"
            clock = ManualClock(now)
            now += LASTS
            if (process := os.fork()) == 0:
                asyncio.run(_play(plugins, namespace, scenario, clock=clock, path=path, at=at))
                os._exit(0)
            status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            _tell(run=scenario.name, status=status, now=now)
            if status != -signal.SIGKILL:
                return


def _tell(**line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
