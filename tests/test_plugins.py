"""Plugins: one broken one breaks only its own scheme, two owners of a scheme are refused."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest

import jobyard.plugins
from jobyard.errors import (
    AmbiguousScheme,
    ContractMismatch,
    InvalidUrl,
    PluginFailed,
    UnknownScheme,
)
from jobyard.hookspecs import hookimpl
from jobyard.memory import MemoryBackend
from jobyard.plugins import DISABLED, BackendType, Plugins, load_plugins, open_backend


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Callable[..., EntryPoint]:
    def make(name: str, *schemes: str, load: str = "jobyard.memory:MemoryBackend") -> EntryPoint:
        module = types.ModuleType(f"plugin_{name}")

        @hookimpl
        def jobyard_backends() -> list[BackendType]:
            return [BackendType(schemes=schemes, summary=name, load=load)]

        module.jobyard_backends = jobyard_backends  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return EntryPoint(name=name, value=module.__name__, group="jobyard")

    return make


BROKEN = EntryPoint(name="redis", value="no_such_module_at_all", group="jobyard")


def test_a_scheme_finds_its_backend(plugin) -> None:
    plugins = Plugins([plugin("acme", "acme", "acmes")])
    assert plugins.resolve("acmes") is MemoryBackend
    assert plugins.resolve("acme+tls") is MemoryBackend
    assert plugins.resolve("memory") is MemoryBackend


def test_a_broken_plugin_breaks_only_its_own_scheme(plugin) -> None:
    plugins = Plugins([BROKEN, plugin("acme", "acme")])
    assert plugins.resolve("acme") is MemoryBackend
    with pytest.raises(PluginFailed, match=r"'redis'.*no_such_module_at_all") as caught:
        plugins.resolve("redis")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    with pytest.raises(UnknownScheme, match="Not loaded: redis"):
        plugins.resolve("mongodb")
    (info,) = [each for each in plugins.installed if each.name == "redis"]
    assert isinstance(info.error, ModuleNotFoundError)


@pytest.mark.parametrize("scheme", ["redis", "valkey", "postgresql", "sqlite"])
def test_a_scheme_of_ours_that_is_not_installed_names_what_to_install(scheme) -> None:
    with pytest.raises(UnknownScheme, match="Install the distribution jobyard-"):
        Plugins([]).resolve(scheme)


def test_two_owners_of_a_scheme_are_refused(plugin, monkeypatch) -> None:
    points = [plugin("one", "acme"), plugin("two", "acme")]
    with pytest.raises(AmbiguousScheme, match=f"{DISABLED}.*one, two"):
        Plugins(points).resolve("acme")
    assert Plugins(points, disabled=frozenset({"two"})).resolve("acme") is MemoryBackend


def test_a_load_target_that_is_missing_or_no_backend(plugin) -> None:
    plugins = Plugins(
        [
            plugin("a", "gone", load="no_such_module_at_all:X"),
            plugin("b", "none", load="jobyard.memory:Nothing"),
            plugin("c", "other", load="jobyard.clock:SystemClock"),
        ]
    )
    for scheme in ("gone", "none", "other"):
        with pytest.raises(PluginFailed, match=scheme):
            plugins.resolve(scheme)


@pytest.fixture
def resolve(plugin, monkeypatch):
    """Resolve a backend of some contract with a core that knows 2.3."""
    monkeypatch.setattr(jobyard.plugins, "CONTRACT", (2, 3))

    def resolving(contract: tuple[int, int]) -> object:
        monkeypatch.setattr(MemoryBackend, "contract", contract)
        return Plugins([plugin("acme", "acme")]).resolve("acme")

    return resolving


@pytest.mark.parametrize(
    ("contract", "older"),
    [
        ((3, 0), "jobyard"),
        ((2, 4), "jobyard"),
        ((1, 9), "the backend"),
        ((0, 3), "the backend"),
    ],
)
def test_a_backend_of_another_contract_is_refused(resolve, contract, older) -> None:
    with pytest.raises(ContractMismatch, match=f"this jobyard has 2.3: upgrade {older}"):
        resolve(contract)


@pytest.mark.parametrize("contract", [(2, 0), (2, 3)])
def test_a_backend_of_the_same_or_an_older_minor_version_is_taken(resolve, contract) -> None:
    assert resolve(contract) is MemoryBackend


def test_a_plugin_can_be_disabled_by_the_environment(monkeypatch) -> None:
    installed = {info.name for info in load_plugins().installed}
    monkeypatch.setenv(DISABLED, "sqlite, other")
    assert {info.name for info in load_plugins().installed} == installed - {"sqlite"}


def test_the_namespace_comes_from_the_call_or_the_url() -> None:
    assert open_backend("memory://").namespace == "jobyard"
    assert open_backend("memory://?namespace=a").namespace == "a"
    assert open_backend("memory://", namespace="b").namespace == "b"
    with pytest.raises(InvalidUrl, match="give one"):
        open_backend("memory://?namespace=a", namespace="b")
