"""Shapes: payloads of a type, and the plain values that stand for them in the store."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from jobyard.errors import ConfigError, PayloadDecodeError, PayloadError, PayloadNotPortable

__all__ = ["Shape"]

MISFITS: Final = (TypeError, ValueError, RecursionError, msgspec.MsgspecError)
QUOTED: Final = re.compile(r"^Invalid (?:enum )?value .*?(?= - at `|$)", re.DOTALL)


class Shape:
    """A type of payloads: a dataclass, a `msgspec.Struct`, a pydantic model, or a plain type.

    >>> Shape(tuple[int, str]).decode([1, "a"])
    (1, 'a')
    """

    __slots__ = ("_dump", "_load", "type")

    def __init__(self, kind: Any) -> None:
        """Read a type; raise `ConfigError` for one that plain values cannot stand for."""
        self.type = kind
        self._dump, self._load = _by_pydantic(kind) or _by_msgspec(kind)

    def encode(self, value: object) -> object:
        """Turn a payload into plain values; raise `PayloadNotPortable` if it is not of the type."""
        plain, again = self._fitting(lambda: self._there_and_back(value), PayloadNotPortable)
        # Types without an equality of their own are compared by what stands for them.
        if again != value and (type(again) is not type(value) or self._dump(again) != plain):
            raise PayloadNotPortable(f"the payload would not come back equal as {self}")
        return plain

    def decode(self, plain: object) -> Any:
        """Turn plain values into a payload; raise `PayloadDecodeError` if they do not fit."""
        return self._fitting(lambda: self._load(plain), PayloadDecodeError)

    def _there_and_back(self, value: object) -> tuple[object, object]:
        plain = self._dump(value)
        return plain, self._load(plain)

    def _fitting(self, turn: Callable[[], Any], misfit: type[PayloadError]) -> Any:
        try:
            return turn()
        except MISFITS as error:
            why = _why(error)
        # Without the error as its cause or context: it quotes values, and would be stored.
        raise misfit(f"the payload is no {self}: {why}")

    def __str__(self) -> str:
        """Show the name of the type."""
        return getattr(self.type, "__name__", None) or repr(self.type)


def _why(error: Exception) -> str:
    """Tell what does not fit, without the value that does not."""
    told = getattr(error, "errors", None)
    if callable(told):  # pydantic's, whose text has the values
        each = told(include_url=False, include_context=False, include_input=False)
        return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}" for e in each)
    text = str(error) or type(error).__name__
    return QUOTED.sub("a value that is none of those allowed", text)


Turn = Callable[[Any], Any]


def _by_pydantic(kind: Any) -> tuple[Turn, Turn] | None:
    """Let pydantic turn its own models; an app that has one has imported it."""
    pydantic = sys.modules.get("pydantic")
    if pydantic is None or not hasattr(kind, "__pydantic_core_schema__"):
        return None
    adapter = cast("Any", pydantic).TypeAdapter(kind)

    def dump(value: Any) -> Any:
        if not isinstance(value, kind):
            msg = f"it is of type {type(value).__name__}"
            raise TypeError(msg)
        return adapter.dump_python(value, mode="json")

    return dump, adapter.validate_python


def _by_msgspec(kind: Any) -> tuple[Turn, Turn]:
    try:
        msgspec.json.schema(kind)  # which knows at once, and deep inside, what cannot be turned
    except (TypeError, RuntimeError) as error:
        msg = f"{kind!r} cannot be the type of a payload: {error}"
        raise ConfigError(msg) from None
    return msgspec.to_builtins, lambda plain: msgspec.convert(plain, kind)
