"""One slot a namespace: kept by a server of a cluster, which refuses a script that strays."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from backends.redis.tests.handles import admin, at
from backends.redis.tests.test_conformance import RedisHarness
from redis import ResponseError
from redis.crc import key_slot

from jobyard.errors import BackendError
from jobyard_conformance.builders import alone, spec
from jobyard_conformance.model import replay
from jobyard_conformance.recording import Transcript
from jobyard_redis.throwaway import ThrowawayServer, free_port

STRAY = "#!lua\nredis.call('SET', KEYS[1], 1) return redis.call('SET', 'b', 1)"


@pytest.fixture(scope="module")
def node() -> Iterator[ThrowawayServer]:
    """Give a cluster of one node, which has every slot."""
    settings = {"cluster-enabled": "yes", "cluster-port": str(free_port())}
    with ThrowawayServer(settings=settings) as server:
        with admin(server) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_until_ok(server)
        yield server


def wait_until_ok(server: ThrowawayServer) -> None:
    async def wait() -> None:
        with admin(server) as client:
            while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(wait(), 100))


def test_the_node_refuses_a_script_that_strays(node: ThrowawayServer) -> None:
    with admin(node) as client, pytest.raises(ResponseError, match=r"slot|non local"):
        client.eval(STRAY, 1, "a")


class Watcher(RedisHarness):
    """Notes the slots of the keys that are there when a namespace is wiped."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.slots: dict[str, set[int]] = {}

    async def wipe(self, namespace: str) -> None:
        with self.client() as client:
            keys = list(client.scan_iter(count=1000))
        assert len(keys) > 1
        self.slots.setdefault(namespace, set()).update(map(key_slot, keys))
        await super().wipe(namespace)


@pytest.mark.case("N27")
def test_everything_a_backend_does_stays_in_the_slot_of_its_namespace(
    node: ThrowawayServer,
) -> None:
    node.clear()
    watcher = Watcher(node.url)
    replay(watcher, examples=15, number=0, begin=Transcript, shrink=False)
    assert watcher.slots
    for namespace, slots in watcher.slots.items():
        assert slots == {key_slot(namespace.encode())}


async def test_a_slot_that_no_node_serves_is_an_outage(node: ThrowawayServer) -> None:
    backend = at(node.url, namespace="elsewhere")
    await backend.open()
    await backend.prepare()
    slot = key_slot(b"jobyard:{elsewhere}")
    with admin(node) as client:
        client.execute_command("CLUSTER", "DELSLOTS", slot)
        client.config_set("cluster-require-full-coverage", "no")
        with pytest.raises(BackendError, match="cannot serve now") as raised:
            await backend.add(alone(spec("a")))
        assert raised.value.transient
        client.execute_command("CLUSTER", "ADDSLOTS", slot)
    await backend.close()
