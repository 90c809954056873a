"""Redis, by hand: what the server gives to two scripts that know one queue and one kind of job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs, urlsplit

import redis
from redis import asyncio as aioredis

from benchmarks.jobs import NAME, QUEUE, decode
from benchmarks.stores.store import RawDrain, RawPair, Store
from benchmarks.stores.targets import Targets
from jobyard.ids import new_job_id, new_lease_id
from jobyard_redis.records import HEAD, packed
from jobyard_redis.throwaway import ThrowawayServer

LEASE_MS: Final = 60_000
REWRITES: Final = ("in_progress", "scheduled")

STEP: Final = f"""
local call, yard = redis.call, KEYS[1]
local LONG = ':' .. string.rep('0', 64) -- lets the server make a hash of many fields
local running, lane = yard .. ':running:{QUEUE}', yard .. ':lane:{QUEUE}:/{NAME}'
local time = call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local tally, minute = yard .. ':tally:{QUEUE}', math.floor(now / 60000)
local lease_id, ttl, limit, before, started = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local count = #ARGV - 5
if count > 0 then
    local ids, facts, done = {{}}, {{}}, {{}}
    for index = 1, count do
        ids[index] = string.sub(ARGV[index + 5], 6)
    end
    for index, held in ipairs(call('HMGET', running, unpack(ids))) do
        if held ~= before and (index > 1 or held ~= before .. LONG) then
            return redis.error_reply('a job that the raw loop claimed was not there to settle')
        end
    end
    local fact = 'c|||0|0|' .. before .. '|' .. started .. '|' .. now .. '||raw||raw|-1|-1\\n'
    for index = 1, count do
        facts[2 * index - 1], facts[2 * index] = ids[index], fact
        done[2 * index - 1], done[2 * index] = now, ARGV[index + 5]
    end
    call('HDEL', running, unpack(ids))
    call('HSET', yard .. ':facts', unpack(facts))
    call('ZADD', yard .. ':done:{QUEUE}:c', unpack(done))
    call('HDEL', yard .. ':held', before)
    call('HDEL', yard .. ':leases', before)
    call('HDEL', yard .. ':fences', lease_id)
    call('ZREM', yard .. ':ends', before)
    call('DEL', yard .. ':taken:' .. before)
    call('HINCRBY', tally, minute .. 'c', count)
end

call('HGET', yard .. ':queues', '{QUEUE}')
call('ZRANGE', yard .. ':delayed:{QUEUE}', 0, 0, 'WITHSCORES')
local members = call('ZRANGE', lane, 0, limit - 1)
if #members == 0 then
    return {{ '', now, {{}}, {{}} }}
end
call('ZREMRANGEBYRANK', lane, 0, #members - 1)
local fence = string.format('%.0f', call('HINCRBY', yard, 'fence', 1))
local ids, held = {{}}, {{}}
for index, member in ipairs(members) do
    local id = string.sub(member, 6)
    ids[index], held[2 * index - 1], held[2 * index] = id, id, fence
end
held[2] = fence .. LONG
local ends = string.format('%.0f', now + ttl)
call('HSET', running, unpack(held))
call('HSET', yard .. ':leases', fence, ends .. '|' .. now .. '|' .. lease_id .. '|raw')
call('HSET', yard .. ':fences', lease_id, fence)
call('HSET', yard .. ':held', fence, #ids)
call('SET', yard .. ':taken:' .. fence, '{QUEUE}\\n' .. '\\16' .. table.concat(ids, '\\16'))
call('ZADD', yard .. ':ends', ends, fence)
call('HINCRBY', tally, minute .. 's', #ids)
return {{ fence, now, members, call('HMGET', yard .. ':jobs', unpack(ids)) }}
"""
"""Settle what was claimed before, and claim the next: the columns of the backend's own scripts."""

ADD: Final = f"""
local call, yard = redis.call, KEYS[1]
local id = ARGV[1]
if call('HEXISTS', yard .. ':jobs', id) == 1 then
    return 0
end
local time = call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local number = call('HINCRBY', yard, 'number', 1)
local function bytes(value, count)
    local found = ''
    for _ = 1, count do
        found, value = string.char(value % 256) .. found, math.floor(value / 256)
    end
    return found
end
local digits = bytes(number, 5)
local score = string.format('%.0f', 100 * 2 ^ 43 + 2 ^ 42 + now)
call('HSET', yard .. ':jobs', id,
    digits .. '\\128' .. bytes(now, 6) .. '|||{QUEUE}||{NAME}|1|3\\n' .. ARGV[2])
call('HSETNX', yard .. ':queues', '{QUEUE}', '')
call('ZADD', yard .. ':lane:{QUEUE}:/{NAME}', score, digits .. id)
call('SADD', yard .. ':lanes:{QUEUE}', '/{NAME}')
call('HINCRBY', yard .. ':tally:{QUEUE}', math.floor(now / 60000) .. 'a', 1)
local block = math.floor(number / 256)
call('APPEND', yard .. ':block:' .. block, bytes(number % 256, 1) .. '\\16' .. id)
call('HINCRBY', yard .. ':blocks', block, 1)
call('PUBLISH', yard .. ':wake', '{QUEUE}')
return 1
"""
"""Add one job, with the columns of the backend's own script."""


@cache
def server() -> ThrowawayServer:
    """Start a server that lives as long as the process that conducts the benchmarks."""
    return ThrowawayServer(settings={"appendfsync": "everysec"}).start()


def yard_of(url: str) -> str:
    """Name the key that the keys of a place begin with."""
    return f"jobyard:{{{parse_qs(urlsplit(url).query)['namespace'][0]}}}"


def connect(url: str) -> redis.Redis:
    """Open a connection to the server of a place, which gives no call up: none may be repeated."""
    return redis.Redis.from_url(url.partition("?")[0], protocol=2, socket_timeout=None)


class Loop:
    """The raw loop: settle what was claimed before and claim the next, in one script."""

    def __init__(self, client: redis.Redis, yard: str, batch: int) -> None:
        self._run = client.register_script(STEP)
        self._yard = yard
        self._batch = batch
        self._fence: bytes = b""
        self._started: bytes = b""
        self._held: Sequence[bytes] = ()

    def step(self) -> list[bytes]:
        """Settle and claim once; return the records claimed."""
        lease = new_lease_id()
        settings: tuple[bytes | str | int, ...]
        settings = (lease, LEASE_MS, self._batch, self._fence, self._started)
        said: Any = self._run(keys=[self._yard], args=(*settings, *self._held))
        records: list[bytes]
        self._fence, self._started, self._held, records = said
        return records


class RedisStore(Store):
    """Namespaces of a server of our own, which appends to its log as `appendonly yes` says."""

    scheme: ClassVar[str] = "redis"
    targets: ClassVar[Targets] = Targets(add_one=0.7, drain=0.5, start_p99_ms=5.0)

    @classmethod
    def fresh(cls, folder: Path, name: str) -> str:  # noqa: ARG003 - the server has its own folder
        """Return the URL of a namespace without keys."""
        return f"{server().url}?namespace={name}"

    @classmethod
    def discard(cls, url: str) -> None:
        """Delete the keys."""
        with connect(url) as client:
            for key in client.scan_iter(f"{yard_of(url)}*", count=1000):
                client.unlink(key)

    @classmethod
    def address(cls, url: str) -> str:
        """Return the URL of the server, which has one place at a time then."""
        return url.partition("?")[0]

    @classmethod
    def clear(cls, url: str) -> None:
        """Empty the server."""
        with connect(url) as client:
            client.flushall()

    @classmethod
    def wait_for_chores(cls, url: str) -> None:
        """Return when the server does not rewrite its log, which copies pages that change."""
        with connect(url) as client:
            while any(client.info("persistence")[f"aof_rewrite_{what}"] for what in REWRITES):
                time.sleep(0.1)

    @classmethod
    def weigh(cls, url: str) -> int:
        """Return the memory of the server, which has one place when it is asked."""
        with connect(url) as client:
            used: int = client.info("memory")["used_memory"]
            return used

    operation: ClassVar[str] = "commands, those in scripts counted too"

    @classmethod
    @contextmanager
    def counting(cls, url: str) -> Iterator[Callable[[], int]]:
        """Count the commands of the server, but those that ask for the number."""
        asked = 0
        with connect(url) as client:

            def count() -> int:
                nonlocal asked
                asked += 1
                processed: int = client.info("stats")["total_commands_processed"]
                return processed - asked

            yield count

    @classmethod
    def describe(cls) -> dict[str, str]:
        """Tell the version and the settings."""
        with redis.Redis.from_url(server().url, protocol=2) as client:
            info = client.info("server")
            fsync = client.config_get("appendfsync")["appendfsync"]
        name = "Valkey" if "valkey_version" in info else "Redis"
        version = info.get("valkey_version", info["redis_version"])
        return {"product": f"{name} {version}", "settings": f"appendonly=yes, appendfsync={fsync}"}

    @classmethod
    def raw_drain(cls, url: str, batch: int) -> RawDrain:
        """Settle and claim in batches until nothing waits."""
        numbers: list[int] = []
        with connect(url) as client:
            loop = Loop(client, yard_of(url), batch)
            began = time.perf_counter()
            while records := loop.step():
                # Jobs of the benchmarks have no options: the payload is what follows the line.
                numbers += [
                    decode(each[each.index(b"\n", HEAD) + 1 :])["user_id"] for each in records
                ]
            seconds = time.perf_counter() - began
        return RawDrain(numbers, seconds)

    @classmethod
    def raw_add(cls, url: str, payloads: Sequence[bytes]) -> float:
        """Run one script a job."""
        with connect(url) as client:
            add = client.register_script(ADD)
            keys = [yard_of(url)]
            rows = [(packed(new_job_id()), payload) for payload in payloads]
            began = time.perf_counter()
            for row in rows:
                add(keys=keys, args=row)
            return time.perf_counter() - began

    @classmethod
    async def raw_add_awaited(cls, url: str, payloads: Sequence[bytes]) -> float:
        """Run one script a job, each awaited."""
        address = url.partition("?")[0]
        async with aioredis.Redis.from_url(address, protocol=2, socket_timeout=None) as client:
            add = client.register_script(ADD)
            keys = [yard_of(url)]
            rows = [(packed(new_job_id()), payload) for payload in payloads]
            began = time.perf_counter()
            for row in rows:
                await add(keys=keys, args=row)
            return time.perf_counter() - began

    @classmethod
    @contextmanager
    def raw_pair(cls, url: str) -> Iterator[RawPair]:
        """Hear what the script that adds publishes."""
        with connect(url) as adding, connect(url) as waiting, connect(url).pubsub() as ear:  # type: ignore[no-untyped-call]
            script = adding.register_script(ADD)
            loop = Loop(waiting, yard_of(url), 1)
            ear.subscribe(f"{yard_of(url)}:wake")

            def add(payload: bytes) -> None:
                script(keys=[yard_of(url)], args=(packed(new_job_id()), payload))

            def hear() -> bytes:
                while ear.get_message(timeout=None)["type"] != "message":
                    pass
                (record,) = loop.step()
                return record[record.index(b"\n", HEAD) + 1 :]

            yield RawPair(add, hear)
