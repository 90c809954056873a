"""Chaos runs one after the other, on one store: until one is broken, or enough have been made."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import msgspec

from jobyard_conformance.chaos.report import Report, quantile
from jobyard_conformance.chaos.running import Setting, run_chaos
from jobyard_conformance.harness import Harness

__all__ = ["Soak", "summary", "verify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """How long to go on: so many `runs`, or until so many `hours` have passed, if that is given.

    `json` is a file that a line of JSON about each run is added to. The histories of a run stay
    only if it is broken, or with `keeps`.
    """

    setting: Setting
    runs: int = 1
    hours: float = 0.0
    json: Path | None = None
    keeps: bool = False
    stops: bool = False
    """Whether a broken run is the last."""

    def run(self, harness: Harness, tell: Callable[[str], None]) -> list[Report]:
        """Make all the runs, each in a namespace of its own and with the next seed."""
        reports: list[Report] = []
        for seed in self._seeds():
            harness.namespace = f"c_{secrets.token_hex(6)}"
            folder = self.setting.folder / f"seed-{seed}"
            command = f"{self.setting.command} --seed {seed}"
            setting = replace(self.setting, seed=seed, folder=folder, command=command)
            report = asyncio.run(run_chaos(harness, setting))
            reports.append(report)
            tell(str(report))
            if report.faults:
                tell(f"{report.counterexample}\nThe histories are in {folder}")
            elif not self.keeps:
                shutil.rmtree(folder)
            if self.json is not None:
                with self.json.open("ab") as file:
                    file.write(msgspec.json.encode(report) + b"\n")
            if report.faults and self.stops:
                break
        return reports

    def _seeds(self) -> Iterator[int]:
        end = time.monotonic() + self.hours * 3600
        for number in count():
            if time.monotonic() >= end if self.hours else number >= self.runs:
                return
            yield self.setting.seed + number


def summary(reports: Sequence[Report]) -> str:
    """Show what all runs did together."""
    broken = [each.seed for each in reports if each.faults]
    again = sum((Counter(each.again) for each in reports), Counter[str]())
    recovery = [time for each in reports for time in each.recovery]
    shown = ", ".join(f"{number} {why}" for why, number in again.most_common()) or "none"
    p50, p99 = (f"{quantile(recovery, share):.2f} s" for share in (0.5, 0.99))
    acknowledged, lost, recovered = (
        sum(getattr(each, name) for each in reports)
        for name in ("acknowledged", "lost", "recovered")
    )
    lines = [
        f"{len(reports)} runs, {sum(each.befell for each in reports)} faults",
        f"acknowledged {acknowledged}, lost {lost}, recovered {recovered}",
        f"runs of jobs {sum(each.runs for each in reports)}; not asked for: {shown}",
        f"stale settles rejected {sum(each.stale_rejected for each in reports)}",
        f"recovery p50 {p50}, p99 {p99}, of {len(recovery)}",
        f"worked off by others: {sum(each.relieved for each in reports)} runs",
        f"broken: {', '.join(map(str, broken)) or 'none'}",
    ]
    return "\n".join(lines)


def verify(harness: Harness, setting: Setting) -> Report:
    """Make one run; raise `AssertionError`, with the counterexample, if it is broken."""
    report = asyncio.run(run_chaos(harness, setting))
    if report.faults:
        files = f"{setting.folder}/*.jsonl"
        told = f"To look at it: python -m jobyard_conformance.history {files}"
        raise AssertionError(f"{report}\n{report.counterexample}\n{told}")
    return report
