"""Who is measured on which store."""

from __future__ import annotations

from typing import Final

OURS: Final = "jobyard"

PEERS: Final = {
    "redis": (
        "arq",
        "bullmq",
        "bullmq_node",
        "celery",
        "dramatiq",
        "huey",
        "rq",
        "saq",
        "streaq",
        "taskiq",
    ),
    "postgresql": (
        "chancy",
        "graphile_worker",
        "oban",
        "pg_boss",
        "pgqueuer",
        "procrastinate",
        "saq",
    ),
    "sqlite": ("huey", "litequeue", "persist_queue", "plainjob"),
}
"""The modules in `on_redis` and so on, and the files in `requirements`."""

IN_NODE: Final = frozenset({"bullmq_node", "graphile_worker", "pg_boss", "plainjob"})
"""Those that run in Node; all others run in Python."""

TITLES: Final = {
    "arq": "arq",
    "bullmq": "BullMQ (Python)",
    "bullmq_node": "BullMQ (Node)",
    "celery": "Celery",
    "chancy": "Chancy",
    "dramatiq": "Dramatiq",
    "graphile_worker": "Graphile Worker (Node)",
    "huey": "Huey",
    "jobyard": "jobyard",
    "litequeue": "litequeue",
    "oban": "Oban (Python)",
    "persist_queue": "persist-queue",
    "pg_boss": "pg-boss (Node)",
    "pgqueuer": "PgQueuer",
    "plainjob": "plainjob (Node)",
    "procrastinate": "Procrastinate",
    "raw": "raw loop",
    "rq": "RQ",
    "saq": "SAQ",
    "streaq": "streaQ",
    "taskiq": "taskiq",
}
"""What they are called."""
