"""The result of a comparison: figures, what they were measured on, and what failed."""

from __future__ import annotations

import datetime as dt
import json
import os
import statistics
import subprocess
from pathlib import Path
from typing import Any, Final

from benchmarks.children import ROOT

Json = dict[str, Any]

RESULTS: Final = "benchmarks/results"
"""The folder whose changes are no changes of what is measured."""

SAME: Final = ("commit", "machine", "sizes")
"""What has to be equal for slices to be one result."""


class OtherRun(Exception):
    """A slice was measured on something else than the result that it is to be added to."""


def commit() -> str:
    """Name the state of the checkout."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", f":!{RESULTS}")
    return (git("rev-parse", "HEAD") or "unknown") + (" with changes" if changed else "")


class Result:
    """What is known so far."""

    def __init__(self, told: Json) -> None:
        self.told = told
        self._began = dt.datetime.now(dt.UTC)
        self._load = os.getloadavg()
        for part in ("stores", "entrants", "failures"):
            self.told.setdefault(part, {})
        self.told.setdefault("slices", [])
        self._figures: dict[tuple[str, str, str], Json] = {
            (figure["store"], figure["work"], figure["entrant"]): figure
            for figure in self.told.setdefault("figures", [])
        }

    @classmethod
    def begin(cls, told: Json, earlier: Path | None) -> Result:
        """Begin a result, or go on with an earlier one measured on the same."""
        if earlier is None or not earlier.exists():
            return cls(told)
        before: Json = json.loads(earlier.read_text(encoding="utf-8"))
        for part in SAME:
            if before[part] != json.loads(json.dumps(told[part])):
                raise OtherRun(f"{earlier} has another {part}: {before[part]}, now {told[part]}")
        return cls(before)

    def note(self, store: str, work: str, entrant: str, unit: str, value: float) -> Json:
        """Add the value of a round."""
        key = (store, work, entrant)
        if key not in self._figures:
            self._figures[key] = {
                "store": store,
                "work": work,
                "entrant": entrant,
                "unit": unit,
                "values": [],
            }
            self.told["figures"].append(self._figures[key])
        figure = self._figures[key]
        figure["values"].append(round(value, 3))
        figure["median"] = statistics.median(figure["values"])
        figure["min"], figure["max"] = min(figure["values"]), max(figure["values"])
        return figure

    def prove(self, figure: Json, jobs: int, twice: int, never: int) -> None:
        """Add to a figure what ran, and what ran twice or never."""
        proof = figure.setdefault("proof", {"jobs": 0, "ran_twice": 0, "never_ran": 0})
        proof["jobs"] += jobs
        proof["ran_twice"] += twice
        proof["never_ran"] += never

    def fail(self, store: str, entrant: str, work: str, reason: str) -> None:
        """Say why there is no figure."""
        self.told["failures"].setdefault(store, {}).setdefault(entrant, {})[work] = reason

    def write(self, path: Path, command: str, fsync_ms: float) -> None:
        """Write all of it, with what a write to the disk took meanwhile."""
        ended = dt.datetime.now(dt.UTC)
        self.told["slices"].append(
            {
                "command": command,
                "began": self._began.isoformat(timespec="seconds"),
                "seconds": round((ended - self._began).total_seconds()),
                "fsync_ms": fsync_ms,
                "load_before": [round(load, 2) for load in self._load],
            }
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.told, indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
