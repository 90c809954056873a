"""The model: the backend under test and the reference, driven by the same operations.

`shapes` draws operations, `twins` makes each of them on both sides, `views` says what of the
visible state has to be equal, and `machine` is the Hypothesis state machine over them.
"""

from __future__ import annotations

from jobyard_conformance.model.machine import Model, replay

__all__ = ["Model", "replay"]
