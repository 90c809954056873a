"""The SQL that makes the tables, for those who make tables by hand.

Run it with `python examples/bearmq/schema.py [URL]`. Opening a service makes what is missing, so
nobody needs this who lets it.
"""

from __future__ import annotations

import os
import sys

from jobyard import QueueService
from jobyard.errors import Unsupported

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///bears.db"))

# The service that is opened then says migrate="check": it complains of a schema that is too old.
service = QueueService(URL, migrate="check")

if __name__ == "__main__":
    try:
        print(service.schema_sql())
    except Unsupported:
        print("-- this store has no tables to be made")
