"""`jobyard.toml`: what the command line takes from the current folder."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Final

import msgspec

from jobyard.errors import ConfigError

__all__ = ["FILE", "URL_VARIABLE", "Config", "Place", "find_place", "read_config"]

FILE: Final = "jobyard.toml"
URL_VARIABLE: Final = "JOBYARD_URL"


class Config(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What the file may say: the store, the yard in it, and the app that `worker` runs."""

    url: str | None = None
    namespace: str | None = None
    app: str | None = None


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A store, and the yard in it unless the URL or the default says."""

    url: str
    namespace: str | None = None


def read_config(folder: Path | None = None) -> Config:
    """Read the file in a folder, the current one if none is given; empty if there is none.

    Raises `ConfigError` for one that cannot be read or says what is not known.
    """
    path = (folder or Path()) / FILE
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{FILE} in the current folder cannot be read: {error}"
        raise ConfigError(msg) from None
    try:
        return msgspec.convert(tomllib.loads(text), Config)
    # Neither error quotes a value: one may be a URL with a password.
    except tomllib.TOMLDecodeError as error:
        msg = f"{FILE} in the current folder is no TOML: {error}"
        raise ConfigError(msg) from None
    except msgspec.ValidationError as error:
        known = ", ".join(Config.__struct_fields__)
        msg = f"{FILE} in the current folder does not fit: {error}; it may say {known}"
        raise ConfigError(msg) from None


def find_place(url: str | None, namespace: str | None) -> Place:
    """Say which store is meant: the one given, else the environment's, else the file's.

    The namespace of the file goes with its URL. Raises `ConfigError` where none is named.
    """
    named = url or os.environ.get(URL_VARIABLE)
    if named:
        return Place(url=named, namespace=namespace)
    config = read_config()
    if config.url:
        return Place(url=config.url, namespace=namespace or config.namespace)
    msg = (
        f"which store? Give a URL, such as sqlite:///jobs.db, set {URL_VARIABLE} in the "
        f'environment, or write url = "sqlite:///jobs.db" into {FILE} in the current folder'
    )
    raise ConfigError(msg)
