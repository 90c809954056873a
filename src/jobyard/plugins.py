"""Plugins: which are installed, which backend serves a URL.

The only module that calls pluggy. One broken plugin breaks only its own scheme.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pluggy

from jobyard import hookspecs
from jobyard.backend import CONTRACT, DEFAULT_NAMESPACE, Backend
from jobyard.clock import Clock
from jobyard.errors import (
    AmbiguousScheme,
    ConfigError,
    ContractMismatch,
    InvalidUrl,
    PluginFailed,
    UnknownScheme,
)
from jobyard.url import BackendUrl

if TYPE_CHECKING:
    import typer

__all__ = [
    "BackendType",
    "PluginInfo",
    "Plugins",
    "TemporaryStore",
    "load_plugins",
    "open_backend",
]

ENTRY_POINTS: Final = "jobyard"
DISABLED: Final = "JOBYARD_DISABLED_PLUGINS"
"""Environment variable: names of plugins not to load, separated by commas."""

KNOWN: Final[Mapping[str, str]] = {
    "sqlite": "jobyard-sqlite",
    "postgresql": "jobyard-postgres",
    "postgres": "jobyard-postgres",
    "redis": "jobyard-redis",
    "rediss": "jobyard-redis",
    "unix": "jobyard-redis",
    "valkey": "jobyard-redis",
}
"""Which distribution to install for a scheme that no installed plugin serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendType:
    """A kind of backend: the schemes it serves and where its class is.

    `load` is `module:Class`, imported when one of the schemes is first asked for. `temporary` is
    `module:function`, if such a store can be had for a while, to try things out: given an empty
    folder that it may use, the function makes a context manager that gives a `TemporaryStore` and
    leaves no process behind. It raises `ConfigError` where something has to be installed first.
    """

    schemes: tuple[str, ...]
    summary: str
    load: str
    temporary: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporaryStore:
    """A store for a while, empty, which several processes may open.

    `summary` says what it is, as part of a sentence. `lasts` tells that it stays in its folder when
    its time is over, to look at; else it is gone then.
    """

    url: str
    summary: str
    lasts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """An installed plugin: its distribution and version, what it offers, or why it failed."""

    name: str
    distribution: str | None
    version: str | None
    backends: tuple[BackendType, ...] = ()
    error: Exception | None = None


BUILT_IN: Final = PluginInfo(
    name="memory",
    distribution="jobyard",
    version=None,
    backends=(
        BackendType(
            schemes=("memory",),
            summary="in this process alone, for tests",
            load="jobyard.memory:MemoryBackend",
        ),
    ),
)


class Plugins:
    """The plugins of this installation."""

    def __init__(
        self, points: Iterable[EntryPoint], *, disabled: frozenset[str] = frozenset()
    ) -> None:
        """Load each plugin by itself, keeping the error of one that cannot be loaded."""
        self._manager = pluggy.PluginManager("jobyard")
        self._manager.add_hookspecs(hookspecs)
        self.installed = (
            BUILT_IN,
            *(self._load(point) for point in points if point.name not in disabled),
        )

    def _load(self, point: EntryPoint) -> PluginInfo:
        dist = point.dist
        name, version = (None, None) if dist is None else (dist.name, dist.version)
        try:
            module = point.load()
            self._manager.register(module, name=point.name)
            backends = self._backends_of(module)
        # Whatever a stranger's module raises at import must not take the other plugins down; the
        # error is shown by `jobyard plugins` and raised when the plugin's scheme is asked for.
        except Exception as error:  # noqa: BLE001
            if self._manager.has_plugin(point.name):
                self._manager.unregister(name=point.name)
            return PluginInfo(name=point.name, distribution=name, version=version, error=error)
        return PluginInfo(name=point.name, distribution=name, version=version, backends=backends)

    def _backends_of(self, module: object) -> tuple[BackendType, ...]:
        others = [plugin for plugin in self._manager.get_plugins() if plugin is not module]
        caller = self._manager.subset_hook_caller("jobyard_backends", remove_plugins=others)
        offers = cast("list[Iterable[BackendType]]", caller())
        return tuple(offer for offered in offers for offer in offered)

    def add_commands(self, app: typer.Typer) -> None:
        """Let every plugin add its commands to the command line."""
        self._manager.hook.jobyard_commands(app=app)

    def schemes(self) -> dict[str, list[BackendType]]:
        """Map each scheme to the backends that claim it."""
        owners: dict[str, list[BackendType]] = {}
        for plugin in self.installed:
            for backend in plugin.backends:
                for scheme in backend.schemes:
                    owners.setdefault(scheme, []).append(backend)
        return owners

    def resolve(self, scheme: str) -> type[Backend]:
        """Find and import the backend class that serves a scheme.

        A scheme such as `sqlite+x` is served by the owner of `sqlite+x`, else by that of `sqlite`.
        """
        owners = self.schemes()
        found = owners.get(scheme) or owners.get(scheme.partition("+")[0]) or []
        match found:
            case []:
                raise self._unknown(scheme, owners)
            case [offer]:
                return _load_class(offer, scheme)
            case _:
                loads = ", ".join(sorted(offer.load for offer in found))
                msg = (
                    f"{scheme}:// is claimed by several installed backends ({loads}): uninstall "
                    f"one, or name its plugin in {DISABLED} ({self._owners(scheme)})"
                )
                raise AmbiguousScheme(msg)

    def temporary(self, scheme: str, folder: Path) -> AbstractContextManager[TemporaryStore]:
        """Get a store for a while, of the kind that serves a scheme."""
        owners = self.schemes()
        found = owners.get(scheme)
        if found is None:
            raise self._unknown(scheme, owners)
        places = [offer.temporary for offer in found if offer.temporary is not None]
        if not places:
            able = sorted(
                name for name, offers in owners.items() if any(o.temporary for o in offers)
            )
            msg = f"there is no store of {scheme}:// for a while; there is of {', '.join(able)}"
            raise ConfigError(msg)
        make: Callable[[Path], AbstractContextManager[TemporaryStore]] = _load(places[0], scheme)
        return make(folder)

    def _owners(self, scheme: str) -> str:
        names = (p.name for p in self.installed if any(scheme in b.schemes for b in p.backends))
        return "plugins: " + ", ".join(sorted(names))

    def _unknown(self, scheme: str, owners: Mapping[str, object]) -> Exception:
        known = KNOWN.get(scheme)
        failed = [plugin for plugin in self.installed if plugin.error is not None]
        for plugin in failed:
            if plugin.name == scheme or (known and plugin.distribution == known):
                broken = PluginFailed(
                    f"the plugin {plugin.name!r} for {scheme}:// could not be loaded: "
                    f"{type(plugin.error).__name__}: {plugin.error}"
                )
                broken.__cause__ = plugin.error
                return broken
        msg = f"no installed backend serves {scheme}://; installed: {', '.join(sorted(owners))}"
        if known:
            msg += f". Install the distribution {known} (see the README for how)"
        if failed:
            msg += f". Not loaded: {', '.join(p.name for p in failed)} (see: jobyard plugins)"
        return UnknownScheme(msg)


def _load_class(offer: BackendType, scheme: str) -> type[Backend]:
    found = _load(offer.load, scheme)
    if not (isinstance(found, type) and issubclass(found, Backend)):
        msg = f"{offer.load}, offered for {scheme}://, is not a jobyard.backend.Backend"
        raise PluginFailed(msg)
    check_contract(found)
    return found


def _load(place: str, scheme: str) -> Any:
    module, _, name = place.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        msg = f"the backend for {scheme}:// could not be imported from {place}: {error}"
        raise PluginFailed(msg) from error


def check_contract(backend: type[Backend]) -> None:
    """Refuse a backend of another major version, or of a newer minor one than this core knows."""
    major, minor = backend.contract
    if major != CONTRACT[0] or minor > CONTRACT[1]:
        older = "the backend" if (major, minor) < CONTRACT else "jobyard"
        msg = (
            f"{backend.__name__} was written for contract {major}.{minor}, this jobyard has "
            f"{CONTRACT[0]}.{CONTRACT[1]}: upgrade {older}"
        )
        raise ContractMismatch(msg)


def load_plugins() -> Plugins:
    """Look at what is installed now."""
    names = os.environ.get(DISABLED, "").split(",")
    points = sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
    return Plugins(points, disabled=frozenset(name.strip() for name in names))


def open_backend(
    url: str | BackendUrl,
    *,
    namespace: str | None = None,
    clock: Clock | None = None,
    plugins: Plugins | None = None,
) -> Backend:
    """Construct the backend that a URL names; it is not connected yet.

    The namespace is the argument, else the URL's option `namespace`, else the default one; naming
    two different ones raises `InvalidUrl`.
    """
    parsed = BackendUrl.parse(url) if isinstance(url, str) else url
    parsed, in_url = parsed.without_option("namespace")
    if namespace is not None and in_url is not None and namespace != in_url:
        msg = f"the URL names the namespace {in_url!r}, the call {namespace!r}: give one"
        raise InvalidUrl(msg)
    chosen = namespace or in_url or DEFAULT_NAMESPACE
    backend = (plugins or load_plugins()).resolve(parsed.scheme)
    return backend(parsed, namespace=chosen, clock=clock)
