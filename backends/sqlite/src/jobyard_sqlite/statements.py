"""The statements of a namespace, as a transaction needs them."""

from __future__ import annotations

from typing import NamedTuple

from jobyard_sql.flavor import SQLITE
from jobyard_sql.gating import Gating, gating
from jobyard_sql.limiting import Limiting, limiting
from jobyard_sql.looking import Looking, looking
from jobyard_sql.moves import Moves, moves
from jobyard_sql.signals import Signals, signals


class Statements(NamedTuple):
    """All of them, by what they are for."""

    moves: Moves
    gating: Gating
    limiting: Limiting
    looking: Looking
    signals: Signals

    @classmethod
    def of(cls, namespace: str) -> Statements:
        """Return those of a namespace."""
        return cls(
            moves(namespace),
            gating(namespace),
            limiting(namespace),
            looking(namespace, SQLITE),
            signals(namespace, SQLITE),
        )
