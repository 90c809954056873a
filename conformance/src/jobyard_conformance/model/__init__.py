"""The model: the backend under test and the reference, driven by the same operations.

`shapes` and `units` draw operations, `twins` makes each of them on both sides, `views` says what of
the visible state has to be equal, `machine` is the Hypothesis state machine over them, and
`replaying` runs it.
"""

from __future__ import annotations

from jobyard_conformance.model.machine import Model
from jobyard_conformance.model.replaying import replay

__all__ = ["Model", "replay"]
