"""A standby: a server that follows another one, and may take its place."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from jobyard_postgres.throwaway import USER, Server

PATIENCE = 120.0


class Standby(Server):
    """A copy of a server, which streams what that one commits until it is cut off."""

    def __init__(self, primary: Server, *, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(settings=settings)
        self._primary = primary

    def _make_data(self) -> None:
        at_primary = ("-h", str(self._primary.socket_folder), "-U", USER)
        how = ("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync")
        self._run("pg_basebackup", "-D", str(self._data), *at_primary, *how)

    def catch_up(self) -> None:
        """Wait until it shows all that its primary has committed."""
        with self._primary.connect() as connection:
            row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
        assert row is not None
        self._until(f"pg_last_wal_replay_lsn() >= '{row[0]}'")

    def cut_off(self) -> None:
        """Let it follow no longer."""
        with self.connect() as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
        self._until("NOT EXISTS (SELECT 1 FROM pg_stat_wal_receiver)")

    def promote(self) -> None:
        """Let it take its primary's place."""
        with self.connect() as connection:
            connection.execute("SELECT pg_promote(wait => false)")
        self._until("NOT pg_is_in_recovery()")

    def _until(self, condition: str) -> None:
        until = time.monotonic() + PATIENCE
        with self.connect() as connection:
            while True:
                row = connection.execute(f"SELECT {condition}".encode()).fetchone()
                if row is not None and row[0]:
                    return
                assert time.monotonic() < until, f"not yet: {condition}"
                time.sleep(0.02)


def either(*servers: Server, database: str) -> str:
    """Tell the URL that leads to whichever of some servers is the primary."""
    folders: list[Path] = [server.socket_folder for server in servers]
    hosts = quote(",".join(map(str, folders)))
    return f"postgresql://{USER}@/{database}?host={hosts}&target_session_attrs=primary"
