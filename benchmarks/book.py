"""What was measured: figures, ratios between them, and what the ratios must reach."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(slots=True)
class Figure:
    """One quantity, measured once a round."""

    work: str
    name: str
    unit: str
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return statistics.median(self.values)


@dataclass(slots=True)
class Bound:
    """What a figure must reach, or stay within."""

    figure: Figure
    kind: Literal["at least", "at most"]
    value: float

    @property
    def is_kept(self) -> bool:
        """Whether the median is on the right side."""
        if self.kind == "at least":
            return self.figure.median >= self.value
        return self.figure.median <= self.value


class Book:
    """The figures of a run, in the order in which they were first noted."""

    def __init__(self) -> None:
        self._figures: dict[tuple[str, str], Figure] = {}
        self._bounds: dict[tuple[str, str], Bound] = {}

    def note(self, work: str, name: str, unit: str, value: float) -> Figure:
        """Add the value of a round."""
        figure = self._figures.setdefault((work, name), Figure(work, name, unit))
        figure.values.append(value)
        return figure

    def find(self, work: str, name: str) -> Figure:
        """Return a figure that was noted."""
        return self._figures[work, name]

    def rate(self, work: str, name: str, jobs: int, seconds: float) -> Figure:
        """Add jobs a second."""
        return self.note(work, name, "jobs/s", jobs / seconds)

    def ratio(self, work: str, name: str, top: Figure, bottom: Figure) -> Figure:
        """Add the ratio of two figures in their latest round."""
        return self.note(work, name, "times", top.values[-1] / bottom.values[-1])

    def at_least(self, figure: Figure, value: float) -> None:
        """Say what a figure must reach."""
        self._bounds[figure.work, figure.name] = Bound(figure, "at least", value)

    def at_most(self, figure: Figure, value: float) -> None:
        """Say what a figure must stay within."""
        self._bounds[figure.work, figure.name] = Bound(figure, "at most", value)

    @property
    def figures(self) -> Sequence[Figure]:
        """All figures."""
        return tuple(self._figures.values())

    def bound(self, figure: Figure) -> Bound | None:
        """Return what a figure must reach, if anything."""
        return self._bounds.get((figure.work, figure.name))

    def as_json(self) -> list[dict[str, object]]:
        """Write the figures as plain values."""
        rows = []
        for figure in self.figures:
            row: dict[str, object] = {
                "work": figure.work,
                "name": figure.name,
                "unit": figure.unit,
                "median": figure.median,
                "min": min(figure.values),
                "max": max(figure.values),
                "values": figure.values,
            }
            bound = self.bound(figure)
            if bound is not None:
                row["bound"] = {
                    "kind": bound.kind,
                    "value": bound.value,
                    "kept": bound.is_kept,
                }
            rows.append(row)
        return rows


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that so many percent of the values do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * percent // 100) - 1)]
