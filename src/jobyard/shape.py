"""Shapes: payloads of a type, and the plain values that stand for them in the store."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast

import msgspec

from jobyard.errors import ConfigError, PayloadDecodeError, PayloadNotPortable

__all__ = ["Shape"]


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
        try:
            plain = self._dump(value)
            again = self._load(plain)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise PayloadNotPortable(f"the payload is no {self}: {error}") from None
        # Types without an equality of their own are compared by what stands for them.
        if again != value and (type(again) is not type(value) or self._dump(again) != plain):
            raise PayloadNotPortable(f"the payload would not come back equal as {self}")
        return plain

    def decode(self, plain: object) -> Any:
        """Turn plain values into a payload; raise `PayloadDecodeError` if they do not fit."""
        try:
            return self._load(plain)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise PayloadDecodeError(f"the payload is no {self}: {error}") from error

    def __str__(self) -> str:
        """Show the name of the type."""
        return getattr(self.type, "__name__", None) or repr(self.type)


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
