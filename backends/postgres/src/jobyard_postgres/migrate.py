"""Bringing a namespace up to date."""

from __future__ import annotations

from psycopg import AsyncConnection, sql

from jobyard.errors import StorageTooNew
from jobyard_sql.flavor import POSTGRES
from jobyard_sql.migrations import migrations


async def version(connection: AsyncConnection, schema: str, namespace: str) -> int:
    """Tell which migration a namespace is at, 0 if there is none."""
    name = sql.Identifier(schema, f"{namespace}_meta")
    # Read from the catalog itself: a look-up by name, such as to_regclass, may still believe what
    # this session saw before it waited for another one that migrated.
    found = await connection.execute(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c "
        "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s)",
        (schema, f"{namespace}_meta"),
    )
    row = await found.fetchone()
    if row is None or not row[0]:
        return 0
    statement = sql.SQL("SELECT value FROM {} WHERE name = 'version'").format(name)
    row = await (await connection.execute(statement)).fetchone()
    return 0 if row is None else int(row[0])


async def is_current(connection: AsyncConnection, schema: str, namespace: str) -> bool:
    """Tell whether a namespace is up to date; raise `StorageTooNew` if it is past that."""
    at, latest = await version(connection, schema, namespace), len(migrations(POSTGRES))
    if at > latest:
        raise StorageTooNew(
            f"the namespace {namespace!r} is at version {at}, this jobyard-postgres knows "
            f"{latest}; upgrade this process"
        )
    return at == latest


async def migrate(connection: AsyncConnection, schema: str, namespace: str) -> None:
    """Apply what is missing, in one transaction; others that want to wait for it meanwhile."""
    async with connection.transaction():
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            (f"jobyard {schema}.{namespace}",),
        )
        if await is_current(connection, schema, namespace):
            return
        at = await version(connection, schema, namespace)
        for statement in script(schema, namespace, after=at):
            # One text of several statements: the driver sends it as it is, without parameters.
            await connection.execute(statement.encode())


def script(schema: str, namespace: str, *, after: int = 0) -> list[str]:
    """Write what brings a namespace from a version to the latest, to run in one transaction."""
    steps = migrations(POSTGRES)
    parts = [f'CREATE SCHEMA IF NOT EXISTS "{schema}";\n'] if schema != "public" else []
    parts.append(f'SET LOCAL search_path TO "{schema}", pg_temp;\n')
    parts += [step.text.replace("{ns}", namespace) for step in steps[after:]]
    parts.append(
        f"INSERT INTO {namespace}_meta (name, value) VALUES ('version', '{len(steps)}')\n"
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value;\n"
    )
    return parts
