"""Replaying: running the machine over as many examples as asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from jobyard_conformance.harness import Harness
from jobyard_conformance.model.machine import Model
from jobyard_conformance.recording import Transcript

__all__ = ["STEPS", "replay"]

STEPS: Final = 30


def replay(
    harness: Harness,
    *,
    examples: int,
    number: int,
    begin: Callable[[], Transcript],
    shrink: bool = True,
) -> None:
    """Run the machine, each example with a transcript of its own.

    The same number makes the same examples. Making a failing one small takes minutes on a store
    that is not in memory.
    """

    class Run(Model):
        """The machine on this harness."""

        def __init__(self) -> None:
            super().__init__(harness, begin())

    run_state_machine_as_test(
        seed(number)(Run),
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            print_blob=False,
            report_multiple_bugs=False,
            phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
