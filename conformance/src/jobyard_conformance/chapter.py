"""A chapter: tests of one noun, written as coroutines and run by any pytest.

The tests of a chapter, and those that an author adds to a suite, are `async def`. As soon as their
class is made they become plain functions that run in the test's own event loop: pytest sees no
coroutine, so no asyncio plugin is needed, and one that is installed finds nothing to take over.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final

from jobyard.backend import Capability

__all__ = ["DEADLINE", "NOT_CLAIMED", "Chapter", "requires"]

DEADLINE: Final = 600.0
"""Seconds after which a test that has not ended fails: a backend that hangs is told so."""

NOT_CLAIMED: Final = "not claimed: "
"""How the reason begins of a test that does not apply to a backend."""

RUNNER: Final = "jobyard_runner"

AsyncTest = Callable[..., Coroutine[Any, Any, None]]


class Chapter:
    """Tests about one noun; `needs` are the capabilities without which they do not apply."""

    chapter: ClassVar[str] = ""
    needs: ClassVar[Capability] = Capability.NONE

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Make the class's coroutine tests runnable."""
        super().__init_subclass__(**kwargs)
        for name, member in list(vars(cls).items()):
            if name.startswith("test") and inspect.isfunction(member):
                test = _blocking(member) if inspect.iscoroutinefunction(member) else member
                vars(test).setdefault("jobyard_chapter", cls.__dict__.get("chapter", ""))
                vars(test).setdefault("jobyard_needs", cls.needs)
                setattr(cls, name, test)


def requires(capability: Capability) -> Callable[[AsyncTest], AsyncTest]:
    """Mark a test as applying only to backends that declare a capability."""

    def decorate(test: AsyncTest) -> AsyncTest:
        vars(test)["jobyard_needs"] = capability
        return test

    return decorate


def _blocking(test: AsyncTest) -> Callable[..., None]:
    @functools.wraps(test)
    def run(self: Chapter, **fixtures: Any) -> None:
        runner: asyncio.Runner = fixtures[RUNNER] if wants else fixtures.pop(RUNNER)

        async def within_deadline() -> None:
            async with asyncio.timeout(DEADLINE):
                await test(self, **fixtures)

        runner.run(within_deadline())

    signature = inspect.signature(test)
    wants = RUNNER in signature.parameters
    parameters = list(signature.parameters.values())
    if not wants:
        parameters.append(inspect.Parameter(RUNNER, inspect.Parameter.KEYWORD_ONLY))
    vars(run)["__signature__"] = signature.replace(parameters=parameters)
    del vars(run)["__wrapped__"]
    return run
