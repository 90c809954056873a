"""The model: long and odd sequences of operations do what they do in memory."""

from __future__ import annotations

import secrets

import pytest

from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import spans
from jobyard_conformance.model import replay
from jobyard_conformance.recording import Transcript
from jobyard_conformance.yard import Yard

EXAMPLES = 20
FIXED = 2
"""How many examples are run when nothing is asked for, and their seed: always the same ones.

With this seed jobs stand before each of the gates, and slots, keys and missing parents are met.
"""

PATIENCE = 600
"""How long, in seconds, the examples may take on a busy machine."""


class Modelling(Chapter):
    """The backend and the reference in memory, driven by the same operations on the same clock."""

    chapter = "model"

    @spans(
        "ADD",
        "GROUP",
        "RATE",
        "DEDUP",
        "DEP",
        "CLAIM",
        "PEEK",
        "SETTLE",
        "EXTEND",
        "REPORT",
        "REAP",
        "GET",
        "FIND",
        "LOGS",
        "QUEUES",
        "METRICS",
        "CHANGE",
        "CONTROL",
        "SWEEP",
        "SCHED",
        "WORKER",
        "EVENTS",
    )
    @pytest.mark.timeout(PATIENCE)
    def test_the_backend_does_what_the_reference_does(
        self, yard: Yard, request: pytest.FixtureRequest
    ) -> None:
        asked: int | None = request.config.getoption("jobyard_examples")
        given: int | None = request.config.getoption("jobyard_seed")
        examples = EXAMPLES if asked is None else asked
        number = given if given is not None else secrets.randbelow(2**32) if asked else FIXED

        def begin() -> Transcript:
            yard.transcript = Transcript()  # a failure shows that of the latest example
            return yard.transcript

        try:
            replay(
                yard.harness,
                examples=examples,
                number=number,
                begin=begin,
                shrink=asked is not None,
            )
        except BaseException as error:
            again = f"--jobyard-examples {examples} --jobyard-seed {number}"
            error.add_note(f"again, and made as small as can be: {again}")
            raise
