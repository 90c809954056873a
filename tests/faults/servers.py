"""Servers of the tests' own that can be taken away, close their doors, and be given back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from redis import Redis

from jobyard_postgres.throwaway import FAST, Server
from jobyard_redis.throwaway import ThrowawayServer

USER: Final = "app"


class Harmed(ABC):
    """A server, and the user whose service is to be harmed; every harm can be undone."""

    url: str
    """Where that user's service is."""
    wrong: str
    """An address that the server refuses for good."""
    place: str | tuple[str, int]
    """Where it listens: a socket, or host and port."""

    @abstractmethod
    def through(self, port: int) -> str:
        """Tell the address of the user's service by way of another port."""

    @abstractmethod
    def connections(self) -> int:
        """Tell how many connections the user has."""

    @abstractmethod
    def stop(self) -> None:
        """Take the server away."""

    @abstractmethod
    def start(self) -> None:
        """Give it back."""

    @abstractmethod
    def take_no_writes(self) -> Callable[[], object]:
        """Be as a standby, or as a replica; returns what undoes that."""

    @abstractmethod
    def have_no_connection(self) -> Callable[[], object]:
        """Cut the connections and take no others."""

    @abstractmethod
    def lock_out(self) -> Callable[[], object]:
        """Take the user's right to be there."""

    @abstractmethod
    def forget_all(self) -> None:
        """Lose everything that is stored."""

    def be_away(self) -> Callable[[], object]:
        self.stop()
        return self.start


class HarmedPostgres(Harmed):
    def __init__(self, server: Server) -> None:
        self._server = server
        self.url = server.create_database("harmed").replace("jobyard@", f"{USER}@")
        self.wrong = self.url.replace("/harmed", "/nowhere")
        self.place = str(server.socket_folder / ".s.PGSQL.5432")
        self._say(f"CREATE USER {USER}", f"ALTER DATABASE harmed OWNER TO {USER}")

    def through(self, port: int) -> str:
        return f"postgresql://{USER}@127.0.0.1:{port}/harmed"

    def connections(self) -> int:
        counted = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{USER}'"
        with self._server.connect() as connection:
            row = connection.execute(counted.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def _say(self, *statements: str) -> None:
        with self._server.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _alter(self, how: str, back: str) -> Callable[[], object]:
        cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}'"
        self._say(f"ALTER USER {USER} {how}", cut)
        return lambda: self._say(f"ALTER USER {USER} {back}", cut)

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()

    def take_no_writes(self) -> Callable[[], object]:
        setting = "default_transaction_read_only"
        return self._alter(f"SET {setting} = on", f"RESET {setting}")

    def have_no_connection(self) -> Callable[[], object]:
        return self._alter("CONNECTION LIMIT 0", "CONNECTION LIMIT -1")

    def lock_out(self) -> Callable[[], object]:
        return self._alter("NOLOGIN", "LOGIN")

    def forget_all(self) -> None:
        with self._server.connect("harmed") as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute(f"CREATE SCHEMA public AUTHORIZATION {USER}".encode())


class HarmedRedis(Harmed):
    def __init__(self, server: ThrowawayServer) -> None:
        self._server = server
        self.url = server.url.replace("//", f"//{USER}:s3cret@")
        self.wrong = server.url.replace("//", f"//{USER}:wr0ng@")
        self.place = ("127.0.0.1", int(server.url.rpartition(":")[2].partition("/")[0]))

    def through(self, port: int) -> str:
        return self.url.replace(f":{self.place[1]}/", f":{port}/")

    def connections(self) -> int:
        with Redis.from_url(self._server.url) as admin:
            return sum(each["user"] == USER for each in admin.client_list())

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()

    def take_no_writes(self) -> Callable[[], object]:
        def say(*where: str) -> None:
            with Redis.from_url(self._server.url) as admin:
                admin.execute_command("REPLICAOF", *where)

        say("127.0.0.1", "1")
        return lambda: say("NO", "ONE")

    def have_no_connection(self) -> Callable[[], object]:
        # Nobody else comes in then: the operator's connection is the one that stays.
        admin = Redis.from_url(self._server.url, single_connection_client=True)
        before = str(admin.config_get("maxclients")["maxclients"])
        admin.config_set("maxclients", 1)
        self._cut(admin)

        def undo() -> None:
            admin.config_set("maxclients", before)
            admin.close()

        return undo

    def lock_out(self) -> Callable[[], object]:
        with Redis.from_url(self._server.url) as admin:
            admin.execute_command("ACL", "SETUSER", USER, "off")
            self._cut(admin)

        def undo() -> None:
            with Redis.from_url(self._server.url) as admin:
                admin.execute_command("ACL", "SETUSER", USER, "on")

        return undo

    def forget_all(self) -> None:
        self._server.clear()

    def _cut(self, admin: Redis) -> None:
        admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@contextmanager
def a_postgres() -> Iterator[Harmed]:
    with Server(settings=FAST) as server:
        yield HarmedPostgres(server)


@contextmanager
def a_redis() -> Iterator[Harmed]:
    with TemporaryDirectory() as folder:
        users = Path(folder) / "users.acl"
        users.write_text(
            f"user default on nopass ~* &* +@all\nuser {USER} on >s3cret ~* &* +@all\n"
        )
        # The server knows its users from its first moment on.
        with ThrowawayServer(settings={"aclfile": str(users)}) as server:
            yield HarmedRedis(server)
