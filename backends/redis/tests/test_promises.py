"""What the server's settings promise: told by the doctor, refused with `strict`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from backends.redis.tests.handles import admin, at, opened

from jobyard.errors import ConfigError, WeakStorage
from jobyard.health import Finding, Severity
from jobyard.url import BackendUrl
from jobyard_redis.inspect import findings_of, refuse_old, refuse_weak
from jobyard_redis.throwaway import Product, ThrowawayServer

SUBJECTS = ["version", "durability", "disk", "eviction", "role"]

STRONG = {
    "redis_version": "7.0.15",
    "aof_enabled": 1,
    "maxmemory_policy": "noeviction",
    "role": "master",
}


def weak(findings: tuple[Finding, ...]) -> list[str]:
    return [each.subject for each in findings if each.severity is Severity.WARNING]


@pytest.mark.parametrize("fsync", ["always", "everysec", None])
def test_an_append_only_primary_that_evicts_nothing_has_no_warning(fsync: str | None) -> None:
    findings = findings_of(STRONG, fsync)
    assert [each.subject for each in findings] == SUBJECTS
    assert weak(findings) == []


@pytest.mark.parametrize(
    ("subject", "fact", "value"),
    [
        ("durability", "aof_enabled", 0),
        ("disk", "aof_last_write_status", "err"),
        ("disk", "rdb_last_bgsave_status", "err"),
        ("eviction", "maxmemory_policy", "allkeys-lru"),
        ("eviction", "maxmemory_policy", "volatile-ttl"),
        ("role", "role", "slave"),
    ],
)
@pytest.mark.case("N03", "R07")
def test_a_fact_that_breaks_a_promise_is_a_warning_and_refused(
    subject: str, fact: str, value: object
) -> None:
    findings = findings_of({**STRONG, fact: value}, "always")
    assert weak(findings) == [subject]
    with pytest.raises(WeakStorage, match="strict=true") as raised:
        refuse_weak(BackendUrl.parse("redis://:s3cret@host"), findings)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("facts", "is_mended"),
    [
        ({"redis_version": "6.2.19"}, False),
        ({"redis_version": "6.2.20"}, True),
        ({"redis_version": "7.0.15"}, False),
        ({"redis_version": "8.2.1"}, False),
        ({"redis_version": "8.2.2"}, True),
        ({"redis_version": "8.4.0"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.5"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "9.0.0"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.0-rc1"}, True),
    ],
)
def test_a_server_whose_scripts_can_get_out_of_lua_is_told_of_and_not_refused(
    facts: dict[str, object], is_mended: bool
) -> None:
    findings = findings_of({**STRONG, **facts}, "always")
    (version,) = [each for each in findings if each.subject == "version"]
    assert version.severity is (Severity.OK if is_mended else Severity.ADVICE)
    assert ("CVE-2025-49844" in version.text) is not is_mended
    refuse_weak(BackendUrl.parse("redis://host"), findings)


def test_appendfsync_no_is_a_warning() -> None:
    assert weak(findings_of(STRONG, "no")) == ["durability"]


def test_nothing_is_promised_for_a_server_that_does_not_tell() -> None:
    assert weak(findings_of({}, None)) == ["version", "durability", "eviction", "role"]


@pytest.mark.parametrize("version", ["5.0.14", "6.0.16", "2.8.0"])
@pytest.mark.case("N28")
def test_a_server_that_is_too_old_is_refused(version: str) -> None:
    with pytest.raises(ConfigError, match=r"6\.2 or later"):
        refuse_old(BackendUrl.parse("redis://host"), {"redis_version": version})


@pytest.mark.parametrize("facts", [{"redis_version": "6.2.0"}, {"redis_version": "10.0.1"}, {}])
def test_a_server_that_is_new_enough_or_does_not_tell_is_not(facts: dict[str, str]) -> None:
    refuse_old(BackendUrl.parse("redis://host"), facts)


@pytest.fixture(scope="module", params=list(Product))
def careless(request: pytest.FixtureRequest) -> Iterator[ThrowawayServer]:
    """Give a server of each product that may forget."""
    settings = {"appendfsync": "everysec"}
    with ThrowawayServer(request.param, persistent=False, settings=settings) as server:
        yield server


@pytest.mark.case("N03")
async def test_strict_refuses_a_real_server_until_it_keeps_what_it_is_given(
    careless: ThrowawayServer,
) -> None:
    with admin(careless) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        async with opened(careless.url) as backend:
            assert weak(tuple(await backend.inspect())) == ["durability", "eviction"]
        strict = at(careless.url, strict="true")
        with pytest.raises(WeakStorage, match=r"appendonly is off.*allkeys-lru"):
            await strict.open()
        client.config_set("appendonly", "yes")
        async with asyncio.timeout(100):
            while client.info("persistence")["aof_rewrite_in_progress"]:
                await asyncio.sleep(0.01)
        client.config_set("maxmemory-policy", "noeviction")
        async with opened(careless.url, strict="true") as backend:
            said = {each.subject: each.text for each in await backend.inspect()}
            assert "everysec" in said["durability"]
            health = await backend.ping()
            assert said["version"].startswith(f"{health.product} {health.version}")
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(WeakStorage, match="name its primary"):
            await at(careless.url, strict="true").open()
        client.execute_command("REPLICAOF", "NO", "ONE")


async def test_the_product_is_named_by_its_own_version(
    valkey: ThrowawayServer, redis62: ThrowawayServer
) -> None:
    async with opened(valkey.url) as backend:
        health = await backend.ping()
        assert (health.product, health.version.split(".")[0]) == ("Valkey", "9")
    async with opened(redis62.url) as backend:
        health = await backend.ping()
        assert (health.product, health.version[:4]) == ("Redis", "6.2.")
