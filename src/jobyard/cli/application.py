"""Finding the service of an app by its name: `module:attribute` or `file.py:attribute`."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from jobyard.errors import ConfigError

if TYPE_CHECKING:
    from jobyard import QueueService

__all__ = ["AppNotLoaded", "load_service"]

SHAPE: Final = "write module:attribute or file.py:attribute, such as app:service"


class AppNotLoaded(ConfigError):
    """The app cannot be used as it is named."""


def load_service(app: str) -> QueueService:
    """Import an app and get its service; raise `AppNotLoaded` that says what is wrong.

    The working directory, and for a file its folder, come first where modules are looked for.
    """
    place, colon, attribute = app.rpartition(":")
    if not colon or not place or not attribute:
        msg = f"{app!r} names no service: {SHAPE}"
        raise AppNotLoaded(msg)
    module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    return _checked(_attribute(module, attribute, place), app, module)


def _import_file(path: Path) -> ModuleType:
    file = path.absolute()
    if not file.is_file():
        msg = f"there is no file {path}"
        raise AppNotLoaded(msg)
    _look_in(Path.cwd())
    _look_in(file.parent)
    module = _imported(file.stem, str(path))
    # The name may be another module's, which Python then gives instead.
    where = getattr(module, "__file__", None)
    if where is None or Path(where).resolve() != file.resolve():
        msg = (
            f"{path} cannot be imported: its name is that of another module, {file.stem} "
            f"({where or 'built in'}); rename the file"
        )
        raise AppNotLoaded(msg)
    return module


def _import_module(name: str) -> ModuleType:
    if "/" in name or "\\" in name:
        msg = f"{name!r} is no module: {SHAPE}"
        raise AppNotLoaded(msg)
    _look_in(Path.cwd())
    return _imported(name, name)


def _look_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _imported(name: str, place: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            msg = (
                f"there is no module {error.name!r} in {Path.cwd()} nor among what is installed "
                "(the worker looks from the working directory)"
            )
            raise AppNotLoaded(msg) from error
        raise AppNotLoaded(_failed(place, error)) from error
    # Whatever the app raises while it is imported is its own error, told with its place.
    except Exception as error:
        raise AppNotLoaded(_failed(place, error)) from error


def _failed(place: str, error: Exception) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
    last = frames[-1] if len(frames) > 1 else None
    where = f" at {last.filename}:{last.lineno}" if last is not None else ""
    return (
        f"importing {place} failed{where}: {type(error).__name__}: {error} "
        "(jobyard --debug worker ... shows the traceback)"
    )


def _attribute(module: ModuleType, attribute: str, place: str) -> Any:
    found: Any = module
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            msg = f"{place} has no {attribute!r}{_services_in(module)}"
            raise AppNotLoaded(msg) from None
    return found


def _services_in(module: ModuleType) -> str:
    from jobyard import QueueService, sync  # noqa: PLC0415 - as above

    kinds = (QueueService, sync.QueueService)
    names = sorted(n for n, value in vars(module).items() if isinstance(value, kinds))
    return f"; the module has {', '.join(names) or 'no QueueService'}"


def _checked(found: Any, app: str, module: ModuleType) -> QueueService:
    from jobyard import QueueService, sync  # noqa: PLC0415 - not needed for --help

    if isinstance(found, sync.QueueService):
        found = found.asynchronous
    if not isinstance(found, QueueService):
        kind = (
            type(found).__name__ if not isinstance(found, type) else f"the class {found.__name__}"
        )
        msg = f"{app} is no QueueService but {kind}{_services_in(module)}"
        raise AppNotLoaded(msg)
    if not len(found.handlers):
        msg = (
            f"{app} has no handlers: register them with @service.handler(queue, name), in the "
            "module itself or in one that it imports"
        )
        raise AppNotLoaded(msg)
    return found
