"""What a server says when it cannot, and what a caller is told: on each real server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import pytest
from backends.redis.tests.handles import NAMESPACE, admin, at, opened
from redis import ResponseError
from tests.faults.handles import until_answered
from tests.patience import PATIENCE

from jobyard.errors import (
    BackendError,
    BackendUnavailable,
    StoreBusy,
    StoreCorrupt,
    StoreFull,
)
from jobyard.lease import Done, Hold, Settled
from jobyard_conformance.builders import alone, settlement, spec, want
from jobyard_redis.backend import RedisBackend
from jobyard_redis.throwaway import Product, ThrowawayServer


@contextlib.contextmanager
def configured(server: ThrowawayServer, **settings: str) -> Iterator[None]:
    """Let the server run with other settings."""
    with admin(server) as client:
        before = {name: client.config_get(name)[name] for name in settings}
        for name, value in settings.items():
            client.config_set(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                client.config_set(name, value)


# -- NOSCRIPT


@pytest.mark.case("N25")
async def test_scripts_that_the_server_forgot_are_sent_again(
    server: ThrowawayServer, backend: RedisBackend
) -> None:
    with admin(server) as client:
        for number in range(3):
            client.script_flush()
            await backend.add(alone(spec(f"j{number}")))
            client.script_flush()
            (lease,) = (await backend.claim(want())).leases
            client.script_flush()
            answer = await backend.settle([settlement(lease, Done())])
            assert answer.results == (Settled.OK,)


async def test_a_server_that_forgets_all_the_time_is_served_all_the_same(
    server: ThrowawayServer, backend: RedisBackend
) -> None:
    ended = threading.Event()

    def forget() -> None:
        with admin(server) as client:
            while not ended.is_set():
                client.script_flush()

    forgetting = asyncio.create_task(asyncio.to_thread(forget))
    try:
        ids = [f"j{number}" for number in range(100)]
        await asyncio.gather(*(backend.add(alone(spec(each))) for each in ids))
    finally:
        ended.set()
        await forgetting
    assert None not in await backend.get(ids)


# -- OOM


@pytest.mark.case("R06")
async def test_a_full_server_refuses_adds_and_lets_work_go_on(
    server: ThrowawayServer, backend: RedisBackend
) -> None:
    await backend.add([tuple(spec(f"j{number}") for number in range(4))])
    (first,) = (await backend.claim(want(limit=1))).leases
    with configured(server, maxmemory="1"):
        with pytest.raises(StoreFull) as raised:
            await backend.add(alone(spec("more")))
        assert raised.value.transient
        assert await backend.get(["more"]) == [None]
        assert list(await backend.extend([first], ttl_ms=60_000)) == [Hold.HELD]
        answer = await backend.settle([settlement(first, Done(b"x"))], claim=want(limit=2))
        assert answer.results == (Settled.OK,)
        assert answer.claimed is not None
        held = answer.claimed.leases
        assert [lease.job_id for lease in held] == ["j1", "j2"]
        await backend.settle([settlement(lease, Done()) for lease in held])
        (last,) = (await backend.claim(want())).leases
        assert last.job_id == "j3"
    await backend.add(alone(spec("more")))
    (info,) = await backend.queues()
    assert (info.counts.completed, info.counts.active, info.counts.waiting) == (3, 1, 1)


@pytest.mark.case("R01", "R02", "R03")
async def test_a_server_that_cannot_write_its_disk_is_full() -> None:
    with ThrowawayServer(persistent=False, settings={"save": "3600 1"}) as server:
        async with opened(server.url) as backend:
            await backend.add(alone(spec("a")))
            (lease,) = (await backend.claim(want())).leases
            blocking = server.folder / "dump.rdb" / "in the way"
            blocking.mkdir(parents=True)
            with admin(server) as client:
                client.bgsave()
                async with asyncio.timeout(PATIENCE):
                    while client.info("persistence")["rdb_last_bgsave_status"] == "ok":
                        await asyncio.sleep(0.02)
            with pytest.raises(StoreFull, match="MISCONF") as raised:
                await backend.add(alone(spec("b")))
            assert raised.value.transient
            with pytest.raises(StoreFull, match="MISCONF"):
                await backend.settle([settlement(lease, Done())])
            severities = {each.subject: each.severity for each in await backend.inspect()}
            assert severities["disk"] == "warning"
            blocking.rmdir()
            blocking.parent.rmdir()
            with admin(server) as client:
                client.save()
            await backend.add(alone(spec("b")))
            answer = await backend.settle([settlement(lease, Done())])
            assert answer.results == (Settled.OK,)


# -- READONLY, MASTERDOWN


@pytest.mark.case("N15")
async def test_a_replica_is_no_place_to_write_until_it_is_promoted(
    server: ThrowawayServer, backend: RedisBackend
) -> None:
    await backend.add(alone(spec("a")))
    with admin(server) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            with pytest.raises(BackendUnavailable, match="replica") as raised:
                await backend.add(alone(spec("b")))
            assert raised.value.transient
            with pytest.raises(BackendUnavailable):
                await backend.claim(want())
            assert [job is not None for job in await backend.get(["a", "b"])] == [True, False]
            client.config_set("replica-serve-stale-data", "no")
            with pytest.raises(BackendUnavailable, match="cannot serve now"):
                await backend.get(["a"])
        finally:
            client.config_set("replica-serve-stale-data", "yes")
            client.execute_command("REPLICAOF", "NO", "ONE")
    await backend.add(alone(spec("b")))
    assert None not in await backend.get(["a", "b"])


# -- BUSY


def is_busy(server: ThrowawayServer) -> bool:
    with admin(server) as client:
        try:
            client.ping()
        except ResponseError as error:
            return "BUSY" in str(error)
        return False


@pytest.mark.case("N26")
async def test_a_server_busy_with_a_script_of_somebodys_is_busy(
    server: ThrowawayServer, backend: RedisBackend
) -> None:
    def loop_for_ever() -> None:
        with admin(server) as client, pytest.raises(ResponseError, match=r"[Ss]cript killed"):
            client.eval("while true do end", 0)

    looping = asyncio.create_task(asyncio.to_thread(loop_for_ever))
    with admin(server) as client:
        try:
            async with asyncio.timeout(PATIENCE):
                while not is_busy(server):
                    await asyncio.sleep(0.01)
            with pytest.raises(StoreBusy) as raised:
                await backend.add(alone(spec("a")))
            assert raised.value.transient
        finally:
            client.script_kill()
            await looping
    await backend.add(alone(spec("a")))
    assert None not in await backend.get(["a"])


# -- LOADING


@pytest.mark.parametrize("product", list(Product))
async def test_a_server_that_loads_what_it_kept_is_waited_for(product: Product) -> None:
    # Each command of its log takes a while, and the server looks up after a thousand of them.
    settings = {"key-load-delay": "300"}
    with ThrowawayServer(product, settings=settings) as server:
        async with opened(server.url) as backend:
            ids = [f"j{number}" for number in range(40)]
            await backend.add([tuple(map(spec, ids))])
            with admin(server) as client, client.pipeline(transaction=False) as pipeline:
                for number in range(4_000):
                    pipeline.set(f"other{number}", "x")
                pipeline.execute()
            seen: list[BackendError] = []
            async with asyncio.timeout(PATIENCE):
                while not any("still loading" in str(error) for error in seen):
                    await restart_seen_by(backend, server, seen)
            assert {type(error) for error in seen} == {BackendUnavailable}
            assert None not in await until_answered(lambda: backend.get(ids))


async def restart_seen_by(
    backend: RedisBackend, server: ThrowawayServer, seen: list[BackendError]
) -> None:
    """Restart a server beside somebody who calls it again and again, and notes what is said."""
    restarting = asyncio.create_task(asyncio.to_thread(server.restart))
    try:
        while not restarting.done():
            try:
                await backend.add(alone(spec("j0")))
            except BackendError as error:
                seen.append(error)
            await asyncio.sleep(0.005)
    finally:
        await restarting


# -- connections


@pytest.mark.case("N04")
async def test_calls_go_on_over_connections_that_are_killed(
    server: ThrowawayServer, backend: RedisBackend
) -> None:
    ids = [f"j{number}" for number in range(200)]

    async def add(job_id: str) -> None:
        while True:
            try:
                await backend.add(alone(spec(job_id)))
            except BackendUnavailable:
                continue
            return

    with admin(server) as client:
        adding = asyncio.gather(*map(add, ids))
        while not adding.done():
            client.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.005)
        await adding
    assert None not in await backend.get(ids)
    (info,) = await backend.queues()
    assert info.counts.total == len(ids)


@pytest.mark.case("N10", "N24")
async def test_a_server_that_does_not_answer_is_given_up_in_time(server: ThrowawayServer) -> None:
    async with opened(server.url) as other:
        await other.add(alone(spec("a")))
    backend = at(server.url, timeout="0.2")
    try:
        await until_answered(backend.open)
        await until_answered(lambda: backend.get(["a"]))
        os.kill(server.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(BackendUnavailable, match=r"no answer within 0\.2 s") as raised:
                    await backend.get(["a"])
            assert raised.value.transient
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert None not in await until_answered(lambda: backend.get(["a"]))
    finally:
        await backend.close()


# -- rights


async def test_a_user_without_a_right_is_told_so_for_good(server: ThrowawayServer) -> None:
    with admin(server) as client:
        client.execute_command(
            "ACL", "SETUSER", "weak", "reset", "on", ">s3cret", "~jobyard:*",
            "resetchannels", "&jobyard:*",
            "+@all", "-@scripting", "-@dangerous",
        )  # fmt: skip
    backend = at(server.url.replace("//", "//weak:s3cret@"))
    with pytest.raises(BackendError) as raised:
        await backend.open()
        await backend.prepare()
    await backend.close()
    assert not raised.value.transient
    assert "s3cret" not in str(raised.value)


async def test_the_rights_that_the_docs_name_are_enough(server: ThrowawayServer) -> None:
    with admin(server) as client:
        client.execute_command(
            "ACL", "SETUSER", "app", "reset", "on", ">s3cret", "~jobyard:*",
            "resetchannels", "&jobyard:*",
            "+@all", "-@dangerous", "+info",
        )  # fmt: skip
    async with opened(server.url.replace("//", "//app:s3cret@")) as backend:
        heard = asyncio.Event()
        async with backend.listen(lambda notice: heard.set(), queues=["emails"]):
            heard.clear()
            await backend.add(alone(spec("a")))
            async with asyncio.timeout(PATIENCE):
                await heard.wait()
        (lease,) = (await backend.claim(want())).leases
        assert (await backend.settle([settlement(lease, Done())])).results == (Settled.OK,)
        said = {each.subject: each.text for each in await backend.inspect()}
        assert "CONFIG is not allowed" in said["durability"]


@pytest.mark.case("N13", "B30")
async def test_a_wrong_password_is_told_for_good_and_not_shown(server: ThrowawayServer) -> None:
    with admin(server) as client:
        client.execute_command(
            "ACL", "SETUSER", "app", "reset", "on", ">right", "~*", "&*", "+@all"
        )
    backend = at(server.url.replace("//", "//app:wr0ng@"))
    with pytest.raises(BackendError, match="refuses the user") as raised:
        await backend.open()
    assert not raised.value.transient
    assert "wr0ng" not in str(raised.value)


async def test_a_key_that_somebody_else_made_is_corruption(
    server: ThrowawayServer, backend: RedisBackend
) -> None:
    with admin(server) as client:
        client.set(f"jobyard:{{{NAMESPACE}}}:jobs", "mine")
    with pytest.raises(StoreCorrupt):
        await backend.get(["a"])


# -- hints


@pytest.mark.case("N20")
async def test_hints_come_over_a_connection_of_their_own_that_mends_itself(
    server: ThrowawayServer, backend: RedisBackend
) -> None:
    async with opened(server.url) as other, contextlib.AsyncExitStack() as stack:
        heard = asyncio.Event()
        await stack.enter_async_context(
            backend.listen(lambda notice: heard.set(), queues=["emails"])
        )
        with admin(server) as client:
            (ear,) = client.client_list(_type="pubsub")
            assert ear["sub"] == "1"
            for _ in range(3):
                client.client_kill_filter(_type="pubsub")
                heard.clear()
                async with asyncio.timeout(PATIENCE):
                    await heard.wait()  # what may have been missed meanwhile is made up for
                    while not client.client_list(_type="pubsub"):
                        await asyncio.sleep(0.01)
                heard.clear()
                await other.add(alone(spec()))
                async with asyncio.timeout(PATIENCE):
                    await heard.wait()
            # Nothing but hints goes over it: calls are answered while it is cut.
            client.client_kill_filter(_type="pubsub")
            assert len((await backend.claim(want())).leases) == 3
