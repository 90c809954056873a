"""The transcript: every call that a test made, with its time and answer."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, cast

import msgspec

from jobyard.backend import Backend
from jobyard.clock import ManualClock
from jobyard.lease import Lease

__all__ = ["Call", "Transcript", "recorded", "shown"]

KEPT: Final = 60
"""How many calls a transcript keeps, the latest."""

MOST: Final = 10_000
"""How many calls a test may make. A loop that waits for a broken backend to come to an end would
else go on for ever, and where no call ever waits, no deadline interrupts it."""

SHOWN_ITEMS: Final = 6
SHOWN_BYTES: Final = 24
SHOWN_LINE: Final = 400


@dataclass(slots=True)
class Call:
    """One call on a handle: `answer` is set when it came, or `error`."""

    handle: str
    method: str
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    at: int | None
    answer: object = None
    error: BaseException | None = None
    returned: bool = False

    def __str__(self) -> str:
        """Show it in a line or two."""
        given = [shown(arg) for arg in self.args]
        given += [f"{name}={shown(value)}" for name, value in self.kwargs.items()]
        if self.error is not None:
            end = f"!! {type(self.error).__name__}: {self.error}"
        elif self.returned:
            end = f"-> {shown(self.answer)}"
        else:
            end = "-> (no answer)"
        return f"{self.handle}.{self.method}({', '.join(given)}) {end}"


class Transcript:
    """The latest calls of a test, over all its handles."""

    def __init__(self) -> None:
        self.calls: deque[Call] = deque(maxlen=KEPT)
        self.count = 0

    def append(self, call: Call) -> None:
        """Note a call as it begins."""
        self.count += 1
        assert self.count <= MOST, f"after {MOST} calls the test has not come to its end"
        self.calls.append(call)

    def __str__(self) -> str:
        """Show the calls, times relative to the first."""
        first = next((call.at for call in self.calls if call.at is not None), None)
        dropped = self.count - len(self.calls)
        lines = [f"… {dropped} earlier calls"] if dropped else []
        for call in self.calls:
            passed = "" if call.at is None or first is None else f"+{call.at - first} ms "
            line = f"{passed}{call}"
            lines.append(line if len(line) <= SHOWN_LINE else f"{line[:SHOWN_LINE]} …")
        return "\n".join(lines)


class _Recorded:
    """A handle that notes its calls; it is the handle in everything else."""

    def __init__(self, inner: Backend, name: str, transcript: Transcript) -> None:
        self._inner = inner
        self._name = name
        self._transcript = transcript

    def __getattr__(self, name: str) -> object:
        member = getattr(self._inner, name)
        if name.startswith("_") or not inspect.iscoroutinefunction(member):
            return member
        return self._noting(name, cast("Callable[..., Awaitable[object]]", member))

    def _noting(
        self, method: str, call: Callable[..., Awaitable[object]]
    ) -> Callable[..., Awaitable[object]]:
        async def noted(*args: object, **kwargs: object) -> object:
            clock = self._inner.clock
            at = clock.now_ms() if isinstance(clock, ManualClock) else None
            entry = Call(self._name, method, args, kwargs, at)
            self._transcript.append(entry)
            try:
                entry.answer = await call(*args, **kwargs)
            except BaseException as error:
                entry.error = error
                raise
            entry.returned = True
            return entry.answer

        return noted


def recorded(inner: Backend, *, name: str, transcript: Transcript) -> Backend:
    """Wrap a handle so that its calls are noted."""
    return cast("Backend", _Recorded(inner, name, transcript))


def shown(value: object) -> str:
    """Show a value compactly: no defaults, long bytes and long sequences cut."""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bytes):
        cut = repr(value[:SHOWN_BYTES])
        return cut if len(value) <= SHOWN_BYTES else f"{cut}… {len(value)}"
    if isinstance(value, msgspec.Struct):
        return _struct(value)
    if isinstance(value, (tuple, list, set, frozenset)):
        items = [shown(item) for item in list(value)[:SHOWN_ITEMS]]
        if len(value) > SHOWN_ITEMS:
            items.append(f"… {len(value)}")
        return f"[{', '.join(items)}]"
    return repr(value)


def _struct(value: msgspec.Struct) -> str:
    if isinstance(value, Lease):
        return f"Lease({value.job_id} {value.lease_id} #{value.fence} until {value.until})"
    fields: list[str] = []
    for each in msgspec.structs.fields(value):
        content: Any = getattr(value, each.name)
        if each.default is msgspec.NODEFAULT or content != each.default:
            fields.append(f"{each.name}={shown(content)}")
    return f"{type(value).__name__}({', '.join(fields)})"
