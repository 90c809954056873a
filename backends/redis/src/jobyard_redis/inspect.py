"""What the server really promises, as it is set up now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jobyard.errors import ConfigError, WeakStorage
from jobyard.health import Finding, Severity
from jobyard.url import BackendUrl

Facts = Mapping[str, Any]

OLDEST: Final = (6, 2)
"""The oldest Redis that has all the commands of the scripts."""


MENDED: Final[Mapping[str, Mapping[tuple[int, int], int]]] = {
    "Redis": {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2},
    "Valkey": {(7, 2): 11, (8, 0): 6, (8, 1): 4},
}
"""The first releases, one a branch, in which no script can get out of Lua; later branches are."""


def is_mended(product: str, version: str) -> bool:
    """Tell whether a release has what keeps scripts in; one that cannot be read counts as if."""
    try:
        major, minor, patch = map(int, version.split("."))
    except ValueError:
        return True
    branches = MENDED[product]
    first = branches.get((major, minor))
    return (major, minor) > max(branches) if first is None else patch >= first


def version_of(info: Facts) -> tuple[int, int]:
    """Tell which version of Redis the server is, or is as good as; 0.0 if it does not tell."""
    major, minor, *_ = str(info.get("redis_version", "0.0")).split(".")
    return (int(major), int(minor))


def product_of(info: Facts) -> tuple[str, str]:
    """Name the product and its own version."""
    valkey = info.get("valkey_version")
    return ("Valkey", str(valkey)) if valkey else ("Redis", str(info.get("redis_version", "?")))


def refuse_old(url: BackendUrl, info: Facts) -> None:
    """Raise `ConfigError` for a server that lacks what the scripts need."""
    if (0, 0) < version_of(info) < OLDEST:
        raise ConfigError(
            f"{url} is Redis {info['redis_version']}; jobyard needs Redis 6.2 or later, or Valkey"
        )


def findings_of(info: Facts, appendfsync: str | None) -> tuple[Finding, ...]:
    """Tell every fact that bears on a promise, from the server's word on itself."""
    return (
        _version(info),
        _persistence(info, appendfsync),
        _health(info),
        _eviction(info),
        _role(info),
    )


def refuse_weak(url: BackendUrl, findings: tuple[Finding, ...]) -> None:
    """Raise `WeakStorage`, naming all that is weaker than `strict` asks for."""
    weak = [each.text for each in findings if each.severity is Severity.WARNING]
    if weak:
        raise WeakStorage(f"{url} cannot keep what strict=true asks for: {'; '.join(weak)}")


def _fine(subject: str, text: str) -> Finding:
    return Finding(subject=subject, severity=Severity.OK, text=text)


def _warning(subject: str, text: str) -> Finding:
    return Finding(subject=subject, severity=Severity.WARNING, text=text)


def _untold(subject: str, what: str) -> Finding:
    return _warning(subject, f"the server does not tell {what}: nothing can be promised of it")


def _version(info: Facts) -> Finding:
    if version_of(info) == (0, 0):
        return _untold("version", "what it is")
    product, version = product_of(info)
    if not is_mended(product, version):
        return Finding(
            subject="version",
            severity=Severity.ADVICE,
            text=f"{product} {version}: who may run scripts on it may run any code on its machine "
            "(CVE-2025-49844, CVE-2024-46981), unless its packager has mended it; upgrade it",
        )
    return _fine("version", f"{product} {version}")


def _persistence(info: Facts, appendfsync: str | None) -> Finding:
    if "aof_enabled" not in info:
        return _untold("durability", "whether it keeps what it was given")
    if not info["aof_enabled"]:
        return _warning(
            "durability",
            "appendonly is off: a restart of the server loses all since its last snapshot; set "
            "appendonly yes",
        )
    if appendfsync == "no":
        return _warning(
            "durability",
            "appendfsync is no: a power cut may lose many seconds of jobs; set it to everysec or "
            "always",
        )
    if appendfsync == "always":
        return _fine("durability", "appendonly with appendfsync always: on the disk at each answer")
    said = appendfsync or "unknown, as CONFIG is not allowed"
    return _fine(
        "durability",
        f"appendonly, appendfsync {said}: a power cut, or a killed server whose disk is slow, may "
        "lose the last two seconds",
    )


def _health(info: Facts) -> Finding:
    failed = [
        name
        for name in ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
        if info.get(name, "ok") != "ok"
    ]
    if failed:
        return _warning(
            "disk", f"the server could not write to its disk ({', '.join(failed)}); make room on it"
        )
    return _fine("disk", "the last writes to the disk succeeded")


def _eviction(info: Facts) -> Finding:
    policy = info.get("maxmemory_policy")
    if policy is None:
        return _untold("eviction", "its maxmemory-policy")
    if policy != "noeviction":
        return _warning(
            "eviction",
            f"maxmemory-policy is {policy}: the server may delete jobs when memory is short; set "
            "noeviction",
        )
    return _fine(
        "eviction", "maxmemory-policy is noeviction: adds are refused when memory is short"
    )


def _role(info: Facts) -> Finding:
    role = info.get("role")
    if role is None:
        return _untold("role", "whether it is a primary")
    if role not in {"master", "primary"}:
        return _warning("role", f"the server is a {role}: it takes no writes; name its primary")
    replicas = info.get("connected_slaves", 0)
    if replicas:
        return _fine(
            "role",
            f"primary with {replicas} replicas, which follow asynchronously: a failover may lose "
            "the last moments",
        )
    return _fine("role", "primary, without replicas")
