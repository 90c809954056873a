"""The public API is the one in public_api.txt, and `__all__` says what it is."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTED = (
    "jobyard",
    "jobyard.backend",
    "jobyard.contract",
    "jobyard.errors",
    "jobyard_conformance",
)


def load(script: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(script, ROOT / "tools" / f"{script}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


public_api = load("public_api")


def house_order(name: str) -> tuple[int, str]:
    """Orders as ruff does: constants, then classes, then the rest."""
    if name.isupper():
        return 0, name
    return (1 if name[:1].isupper() else 2), name


def test_the_public_api_is_the_committed_one() -> None:
    changes = public_api.difference()

    assert not changes, f"python tools/public_api.py --write, when this is meant:\n{changes}"


def test_the_documented_modules_are_those_of_the_snapshot() -> None:
    assert public_api.DOCUMENTED == DOCUMENTED


@pytest.mark.parametrize("name", DOCUMENTED)
def test_all_is_sorted(name: str) -> None:
    exports = importlib.import_module(name).__all__

    assert list(exports) == sorted(exports, key=house_order)
    assert len(exports) == len(set(exports))


@pytest.mark.parametrize("name", DOCUMENTED)
def test_all_is_complete(name: str) -> None:
    exports = importlib.import_module(name).__all__

    defined = public_api.read(name).public_names()
    passed_on = set(exports) - {"__version__"} - defined

    assert defined <= set(exports)
    # What a module passes on for convenience is documented where it stands.
    assert passed_on <= public_api.read("jobyard.contract").public_names()


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_name_in_all_is_there(name: str) -> None:
    module = importlib.import_module(name)

    assert [export for export in module.__all__ if not hasattr(module, export)] == []


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_class_and_function_says_what_it_is(name: str) -> None:
    module = importlib.import_module(name)
    objects = {export: getattr(module, export) for export in module.__all__}

    silent = [
        export
        for export, thing in objects.items()
        if callable(thing) and getattr(thing, "__module__", "").startswith("jobyard")
        if not (thing.__doc__ or "").strip()
    ]
    assert silent == []


SOURCE = """
from typing import TYPE_CHECKING, Final
from .errors import JobyardError
if TYPE_CHECKING:
    from jobyard.job import Job as Work
__all__ = ["LIMIT", "Store", "open_store"]
LIMIT: Final = 3
_hidden = 1
class Store(Base, frozen=True):
    name: str
    size: int = 0
    _cache: int = 1
    def __init__(self, name: str) -> None: ...
    def __repr__(self) -> str: ...
    @property
    def full(self) -> bool: ...
    async def add(self, *jobs: str, now: int | None = None) -> None: ...
    def _grow(self) -> None: ...
def open_store(url: str, /) -> Store: ...
"""


def test_a_module_is_read_from_its_source() -> None:
    module = public_api.parse("jobyard.store", SOURCE, is_package=False)

    assert module.exports == ("LIMIT", "Store", "open_store")
    assert module.imports["JobyardError"] == ("jobyard.errors", "JobyardError")
    assert module.imports["Work"] == ("jobyard.job", "Job")
    assert module.public_names() == {"LIMIT", "Store", "open_store"}


def test_a_package_also_exports_what_it_imports_from_itself() -> None:
    module = public_api.parse("jobyard", SOURCE, is_package=True)

    assert module.public_names() == {"LIMIT", "Store", "open_store", "JobyardError", "Work"}


def test_a_class_shows_its_bases_its_fields_and_its_public_methods() -> None:
    module = public_api.parse("jobyard.store", SOURCE, is_package=False)

    assert public_api.describe(module, "Store") == [
        "class Store(Base, frozen=True)",
        "    name: str",
        "    size: int = 0",
        "    def __init__(self, name: str) -> None",
        "    async def add(self, *jobs: str, now: int | None=None) -> None",
        "    @property",
        "    def full(self) -> bool",
    ]


def test_a_name_from_another_documented_module_is_only_pointed_at() -> None:
    module = public_api.parse("jobyard", SOURCE, is_package=True)

    assert public_api.describe(module, "JobyardError") == [
        "JobyardError = jobyard.errors.JobyardError"
    ]


def test_a_long_value_is_left_out() -> None:
    module = public_api.parse("m", f"TABLE: int = {'1 + ' * 100}1", is_package=False)

    assert public_api.describe(module, "TABLE") == ["TABLE: int = ..."]
