"""What the server really promises, as it is set up now."""

from __future__ import annotations

from jobyard.health import Finding, Severity
from jobyard_postgres.store import Store

SETTINGS = (
    "SELECT current_setting('fsync'), current_setting('full_page_writes'), "
    "current_setting('synchronous_commit'), current_setting('server_encoding'), "
    "current_setting('autovacuum'), current_setting('server_version')"
)

ROLE = (
    "SELECT pg_is_in_recovery(), current_setting('synchronous_standby_names'), "
    "(SELECT count(*)::int4 FROM pg_stat_replication)"
)


async def inspect(store: Store) -> tuple[Finding, ...]:
    """Tell every fact that bears on a promise."""
    ((fsync, pages, commit, encoding, autovacuum, version),) = await store.rows(SETTINGS)
    findings = [_fine("server", f"PostgreSQL {version}")]
    if fsync == "off" or pages == "off":
        findings.append(
            _warning(
                "durability",
                f"fsync is {fsync}, full_page_writes {pages}: a crash of the machine may lose or "
                "damage the whole database; set both to on",
            )
        )
    elif store.fast:
        findings.append(
            _warning(
                "durability",
                "durability=fast: a crash of the server may lose the last commits, though a "
                "killed client loses none; leave the option out to keep them",
            )
        )
    elif commit in {"off", "on", "remote_apply", "remote_write"}:
        findings.append(_fine("durability", "each commit is on the disk when it is acknowledged"))
    else:
        findings.append(
            _fine("durability", f"synchronous_commit is {commit}: standbys may lag behind")
        )
    findings.append(await _role(store, commit))
    if encoding != "UTF8":
        findings.append(
            _warning("encoding", f"the database is {encoding}: not every name can be stored")
        )
    if autovacuum != "on":
        findings.append(
            _advice(
                "autovacuum",
                "autovacuum is off: claims get slower with every job that went through; turn it on",
            )
        )
    findings.append(
        _fine(
            "isolation",
            f"the database's level is {store.isolation}"
            + (
                ""
                if store.isolation == "read committed"
                else "; each step begins a transaction of its own at read committed, which costs "
                "two more round trips"
            ),
        )
    )
    if store.is_pooled:
        findings += _pooled(store)
    if store.options.listen == "off":
        findings.append(
            _advice("wakeup", "listen=off: workers of other processes find jobs by polling")
        )
    else:
        findings.append(_fine("wakeup", "workers of other processes are woken by NOTIFY"))
    return tuple(findings)


async def _role(store: Store, commit: str) -> Finding:
    """Tell what is left if the server is lost."""
    ((is_standby, waited_for, standbys),) = await store.rows(ROLE)
    if is_standby:
        return _warning("role", "the server is a standby: it takes no writes; name its primary")
    if waited_for and commit != "local" and not store.fast:
        return _fine(
            "role",
            f"primary; a commit waits for standbys ({waited_for}), so that one of them may take "
            "over without a loss",
        )
    if standbys:
        return _fine(
            "role",
            f"primary with {standbys} standbys, for which no commit waits: a failover may lose the "
            "last moments; set synchronous_standby_names to lose none",
        )
    return _fine("role", "primary, without standbys")


def _pooled(store: Store) -> list[Finding]:
    """Tell what a pooler asks for."""
    findings = [_fine("pooler", "connections go through a pooler")]
    if store.options.listen != "off" and store.options.listen_url is None:
        findings.append(
            _advice(
                "pooler",
                "a pooler in transaction mode takes no LISTEN: give listen_url with the server's "
                "own address, or listen=off; jobs are found by polling meanwhile",
            )
        )
    if store.options.prepare == "on":
        findings.append(
            _advice(
                "pooler",
                "prepare=on needs a pooler that keeps prepared statements (pgbouncer 1.21 with "
                "max_prepared_statements); leave the option out otherwise",
            )
        )
    return findings


def _fine(subject: str, text: str) -> Finding:
    return Finding(subject=subject, severity=Severity.OK, text=text)


def _advice(subject: str, text: str) -> Finding:
    return Finding(subject=subject, severity=Severity.ADVICE, text=text)


def _warning(subject: str, text: str) -> Finding:
    return Finding(subject=subject, severity=Severity.WARNING, text=text)
