"""The worker processes of the demo, from their start to their end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobyard.demo.place import Place
from jobyard.errors import JobyardError

__all__ = ["Crew", "DemoFailed", "WorkerProcess"]

GRACE_SECONDS: Final = 10.0
TAIL_LINES: Final = 15
URL_VARIABLE: Final = "JOBYARD_URL"

CAN_FREEZE: Final = hasattr(signal, "SIGSTOP")


class DemoFailed(JobyardError):
    """The demo could not go on."""


@dataclass(slots=True, kw_only=True)
class WorkerProcess:
    """One worker process; `number` counts from 1."""

    number: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def name(self) -> str:
        """The name in the output."""
        return f"worker {self.number}"

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def freeze(self) -> None:
        """Halt the process where it stands, so that what it holds stays as it is.

        Where the system has no SIGSTOP nothing happens.
        """
        if not CAN_FREEZE:
            return
        self.process.send_signal(signal.SIGSTOP)
        if self.process.returncode is None:
            # Returns when it has stopped, which a signal alone does not promise.
            _, status = os.waitpid(self.pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                self.process.returncode = os.waitstatus_to_exitcode(status)

    def thaw(self) -> None:
        """Let the process go on."""
        if CAN_FREEZE:
            self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process without a chance to clean up: SIGKILL."""
        self.process.kill()
        self.process.wait()
        self._close_input()

    async def stop(self) -> int:
        """Ask the process to end, and wait for it; return its exit code."""
        self.process.terminate()
        try:
            return await asyncio.to_thread(self.process.wait, GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return await asyncio.to_thread(self.process.wait)
        finally:
            self._close_input()

    def tail(self) -> str:
        """Read the last lines of what the process wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])

    def _close_input(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()


class Crew:
    """Starts worker processes, and leaves none behind."""

    def __init__(self, place: Place, root: Path, logs: Path, *, pace: float) -> None:
        """Say what the workers of this crew work on; none is started yet."""
        self._gate = logs.absolute() / "gate"
        self._arguments = ["--root", str(root), "--pace", str(pace), "--gate", str(self._gate)]
        if place.namespace is not None:
            self._arguments += ["--namespace", place.namespace]
        # In the environment, because everybody can see the arguments of a process.
        self._environment = {**os.environ, URL_VARIABLE: place.url}
        self._logs = logs
        self.everybody: list[WorkerProcess] = []
        self.working: list[WorkerProcess] = []

    def start(self) -> WorkerProcess:
        """Start one more worker."""
        number = len(self.everybody) + 1
        log = self._logs / f"worker-{number}.log"
        # -P: what lies in the current folder is data here, never a module to import.
        command = [sys.executable, "-P", "-m", "jobyard.demo.worker", *self._arguments]
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own module
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
            )
        worker = WorkerProcess(number=number, process=process, log=log)
        self.everybody.append(worker)
        self.working.append(worker)
        return worker

    def bury(self, worker: WorkerProcess) -> None:
        """Kill a worker."""
        self.working.remove(worker)
        worker.kill()

    def let_go(self) -> None:
        """Let the runs end that wait for a worker to be killed."""
        self._gate.touch()

    def check(self) -> None:
        """Raise `DemoFailed`, with what it wrote, if a worker ended by itself."""
        for worker in self.working:
            code = worker.process.poll()
            if code is not None:
                msg = f"{worker.name} ended by itself (exit code {code}):\n{worker.tail()}"
                raise DemoFailed(msg)

    async def dismiss(self) -> list[str]:
        """Stop all workers gracefully; tell of those that did not end well."""
        leaving, self.working = self.working, []
        codes = await asyncio.gather(*(worker.stop() for worker in leaving))
        return [
            f"{worker.name} did not stop gracefully (exit code {code}):\n{worker.tail()}"
            for worker, code in zip(leaving, codes, strict=True)
            if code != 0
        ]
