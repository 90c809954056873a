"""The gates that a transaction asks: read once, changed in memory, written at the end."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from jobyard_sql.codes import Gate as Kind
from jobyard_sql.gating import Gating

__all__ = ["Gate", "Gates"]


class Gate:
    """A group with its places, or a rate with its slots; jobs that it holds back stand in its line.

    `room` is how many places or slots there are, `members` how many unfinished jobs. `taken` counts
    the places that jobs have, or the slots that they have and those that rest: which were used and
    are free again from an instant that has not come. `slots_of` is when slots were last looked
    through for such as rest no more.
    """

    __slots__ = (
        "changed",
        "id",
        "key",
        "kind",
        "members",
        "per_ms",
        "queue",
        "room",
        "slots_of",
        "taken",
    )

    def __init__(self, row: tuple[int, int, int, str, int, int | None, int, int]) -> None:
        (
            self.id,
            self.queue,
            self.kind,
            self.key,
            self.room,
            self.per_ms,
            self.taken,
            self.members,
        ) = row
        self.changed = False
        self.slots_of = -1

    @property
    def is_free(self) -> bool:
        """Whether a place is free."""
        return self.taken < self.room


class Gates:
    """The gates met so far in one transaction."""

    def __init__(self, cursor: sqlite3.Cursor, gating: Gating) -> None:
        self._cursor = cursor
        self._gating = gating
        self._by_id: dict[int, Gate] = {}
        self._by_key: dict[tuple[int, int, str], Gate] = {}

    # -- finding and writing

    def find(self, queue: int, kind: Kind, key: str) -> Gate | None:
        """Find a gate by its key."""
        found = self._by_key.get((queue, kind, key))
        if found is None:
            row = self._cursor.execute(self._gating.gate, (queue, int(kind), key)).fetchone()
            found = None if row is None else self._know(Gate(row))
        return found

    def make(self, queue: int, kind: Kind, key: str, *, room: int, per_ms: int | None) -> Gate:
        """Make a gate that there is not."""
        row = (queue, int(kind), key, room, per_ms)
        ((number,),) = self._cursor.execute(self._gating.make_gate, row).fetchall()
        return self._know(Gate((number, *row, 0, 0)))

    def load(self, numbers: Iterable[int]) -> None:
        """Read some gates at once, because they are going to be asked for."""
        missing = sorted({number for number in numbers if number not in self._by_id})
        if missing:
            rows = self._cursor.execute(self._gating.gates, (json.dumps(missing),)).fetchall()
            for row in rows:
                self._know(Gate(row))

    def __getitem__(self, number: int) -> Gate:
        """Return the gate of a job that has not finished."""
        gate = self._by_id.get(number)
        if gate is None:
            self.load((number,))
            gate = self._by_id[number]
        return gate

    def _know(self, gate: Gate) -> Gate:
        self._by_id[gate.id] = gate
        self._by_key[gate.queue, gate.kind, gate.key] = gate
        return gate

    def drop(self, gate: Gate) -> None:
        """Let nothing be left of a gate."""
        self._cursor.execute(self._gating.drop_gate, (gate.id,))
        gate.changed = False
        del self._by_id[gate.id]
        del self._by_key[gate.queue, gate.kind, gate.key]

    def save(self) -> None:
        """Write the gates that have changed."""
        rows = [
            (gate.room, gate.per_ms, gate.taken, gate.members, gate.id)
            for gate in self._by_id.values()
            if gate.changed
        ]
        if rows:
            self._cursor.executemany(self._gating.save_gate, rows)

    # -- slots

    def take_slot(self, gate: Gate, now: int) -> int | None:
        """Take the slot of a rate that is free first; tell from when, `None` if jobs have all."""
        self.wake_slots(gate, now)
        if gate.taken < gate.room:
            gate.taken += 1
            gate.changed = True
            return now
        return self._first_resting(gate)

    def give_slots(self, gate: Gate, at: int, now: int, count: int = 1) -> None:
        """Let slots that jobs had be free from an instant on, those too many for good."""
        spare = min(max(gate.taken - gate.room, 0), count)
        resting = count - spare if at > now else 0
        gate.taken -= count - resting
        gate.changed = True
        if resting:
            self._cursor.execute(self._gating.put_slot, (gate.id, at, resting))

    def resize(self, gate: Gate, room: int, per_ms: int, now: int) -> None:
        """Allow another rate from now on; of too many slots those go that were free first."""
        self.wake_slots(gate, now)
        gate.room, gate.per_ms, gate.changed = room, per_ms, True
        while gate.taken > room and self._first_resting(gate) is not None:
            gate.taken -= 1

    def wake_slots(self, gate: Gate, now: int) -> None:
        """Count those slots as free whose instant has come."""
        if gate.slots_of == now:
            return
        gate.slots_of = now
        woken = self._cursor.execute(self._gating.free_slots, (gate.id, now)).fetchall()
        if woken:
            gate.taken -= sum(n for (n,) in woken)
            gate.changed = True

    def _first_resting(self, gate: Gate) -> int | None:
        """Take the resting slot that is free first away; it stays counted."""
        first = self._cursor.execute(self._gating.first_slot, (gate.id,)).fetchone()
        if first is None:
            return None
        at, n = first
        if n > 1:
            self._cursor.execute(self._gating.put_slot, (gate.id, at, -1))
        else:
            self._cursor.execute(self._gating.drop_slot, (gate.id, at))
        return int(at)
