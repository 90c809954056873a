"""The stores that are measured, found by the scheme of a URL."""

from __future__ import annotations

from benchmarks.stores.postgres import PostgresStore
from benchmarks.stores.redis import RedisStore
from benchmarks.stores.sqlite import SqliteStore
from benchmarks.stores.store import Store

__all__ = ["STORES", "Store", "store_for"]

STORES: dict[str, type[Store]] = {
    store.scheme: store for store in (SqliteStore, PostgresStore, RedisStore)
}


def store_for(url: str) -> type[Store]:
    """Return the kind of store that a URL names."""
    scheme = url.partition(":")[0]
    if scheme not in STORES:
        known = ", ".join(sorted(STORES))
        raise SystemExit(f"there are no benchmarks for {scheme}://; there are for {known}")
    return STORES[scheme]
