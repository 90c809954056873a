-- The tables of a namespace: see jobyard_sql/tables.py for what they hold.
CREATE TABLE {ns}_blocked (
    line INTEGER NOT NULL,
    prio SMALLINT NOT NULL,
    due INTEGER NOT NULL,
    no INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    flags SMALLINT NOT NULL,
    grp INTEGER,
    PRIMARY KEY (line, prio, due, no)
) WITHOUT ROWID;
CREATE UNIQUE INDEX {ns}_blocked_no ON {ns}_blocked (no);
CREATE TABLE {ns}_counter (
    id INTEGER NOT NULL,
    now INTEGER NOT NULL,
    job INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    event INTEGER NOT NULL,
    listeners_until INTEGER NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE {ns}_dedup (
    queue INTEGER NOT NULL,
    "key" TEXT NOT NULL,
    no INTEGER NOT NULL,
    job_id TEXT NOT NULL,
    until INTEGER,
    PRIMARY KEY (queue, "key")
) WITHOUT ROWID;
CREATE INDEX {ns}_dedup_until ON {ns}_dedup (until) WHERE until IS NOT NULL;
CREATE TABLE {ns}_delayed (
    queue INTEGER NOT NULL,
    due INTEGER NOT NULL,
    no INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    prio SMALLINT NOT NULL,
    failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    flags SMALLINT NOT NULL,
    grp INTEGER,
    PRIMARY KEY (queue, due, no)
) WITHOUT ROWID;
CREATE TABLE {ns}_dep (
    child INTEGER NOT NULL,
    at INTEGER NOT NULL,
    parent TEXT NOT NULL,
    ignored BOOLEAN NOT NULL,
    attached BOOLEAN NOT NULL,
    waits BOOLEAN NOT NULL,
    PRIMARY KEY (child, at)
) WITHOUT ROWID;
CREATE INDEX {ns}_dep_parent ON {ns}_dep (parent);
CREATE TABLE {ns}_done (
    no INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    state SMALLINT NOT NULL,
    finished_at INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    started_at INTEGER,
    worker TEXT,
    failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    settled BOOLEAN NOT NULL,
    purge_at INTEGER,
    keep_count INTEGER,
    reason TEXT,
    result BLOB,
    error BLOB,
    PRIMARY KEY (no)
);
CREATE INDEX {ns}_done_age ON {ns}_done (queue, state, finished_at, no);
CREATE INDEX {ns}_done_kept ON {ns}_done (queue, state, keep_count, finished_at, no)
    WHERE keep_count IS NOT NULL;
CREATE INDEX {ns}_done_purge ON {ns}_done (purge_at) WHERE purge_at IS NOT NULL;
CREATE TABLE {ns}_event (
    last INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (last)
);
CREATE TABLE {ns}_expiry (
    at INTEGER NOT NULL,
    no INTEGER NOT NULL,
    PRIMARY KEY (at, no)
) WITHOUT ROWID;
CREATE TABLE {ns}_gate (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    queue INTEGER NOT NULL,
    kind SMALLINT NOT NULL,
    "key" TEXT NOT NULL,
    room INTEGER NOT NULL,
    per_ms INTEGER,
    taken INTEGER NOT NULL,
    members INTEGER NOT NULL
);
CREATE UNIQUE INDEX {ns}_gate_key ON {ns}_gate (queue, kind, "key");
CREATE TABLE {ns}_gated (
    no INTEGER NOT NULL,
    grp INTEGER,
    grp_key TEXT,
    places INTEGER,
    placed BOOLEAN NOT NULL,
    rate INTEGER,
    rate_key TEXT,
    starts INTEGER,
    per_ms INTEGER,
    slot_at INTEGER,
    PRIMARY KEY (no)
);
CREATE TABLE {ns}_gauge (
    queue INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    waiting INTEGER DEFAULT '0' NOT NULL,
    delayed INTEGER DEFAULT '0' NOT NULL,
    blocked INTEGER DEFAULT '0' NOT NULL,
    active INTEGER DEFAULT '0' NOT NULL,
    completed INTEGER DEFAULT '0' NOT NULL,
    failed INTEGER DEFAULT '0' NOT NULL,
    cancelled INTEGER DEFAULT '0' NOT NULL,
    stalled INTEGER DEFAULT '0' NOT NULL,
    dead INTEGER DEFAULT '0' NOT NULL,
    minute INTEGER DEFAULT '0' NOT NULL,
    now_added INTEGER DEFAULT '0' NOT NULL,
    now_started INTEGER DEFAULT '0' NOT NULL,
    now_completed INTEGER DEFAULT '0' NOT NULL,
    now_failed INTEGER DEFAULT '0' NOT NULL,
    now_retried INTEGER DEFAULT '0' NOT NULL,
    now_cancelled INTEGER DEFAULT '0' NOT NULL,
    now_crashed INTEGER DEFAULT '0' NOT NULL,
    now_removed INTEGER DEFAULT '0' NOT NULL,
    now_ran_ms INTEGER DEFAULT '0' NOT NULL,
    now_peak INTEGER DEFAULT '0' NOT NULL,
    PRIMARY KEY (queue, shard)
);
CREATE TABLE {ns}_job (
    no INTEGER NOT NULL,
    id TEXT NOT NULL,
    queue INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    prio SMALLINT NOT NULL,
    due INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    max_crashes INTEGER NOT NULL,
    flags SMALLINT NOT NULL,
    ttl_ms INTEGER,
    expires_at INTEGER,
    grp INTEGER,
    dedup TEXT,
    payload BLOB NOT NULL,
    options BLOB NOT NULL,
    PRIMARY KEY (no)
);
CREATE UNIQUE INDEX {ns}_job_id ON {ns}_job (id);
CREATE TABLE {ns}_keep (
    no INTEGER NOT NULL,
    completed_count INTEGER,
    completed_ms INTEGER,
    failed_count INTEGER,
    failed_ms INTEGER,
    PRIMARY KEY (no)
);
CREATE TABLE {ns}_lane (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    queue INTEGER NOT NULL,
    channel TEXT NOT NULL,
    name TEXT NOT NULL
);
CREATE UNIQUE INDEX {ns}_lane_key ON {ns}_lane (queue, channel, name);
CREATE TABLE {ns}_lease (
    no INTEGER NOT NULL,
    token TEXT NOT NULL,
    until INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    worker TEXT NOT NULL,
    held INTEGER NOT NULL,
    PRIMARY KEY (no)
);
CREATE UNIQUE INDEX {ns}_lease_token ON {ns}_lease (token);
CREATE TABLE {ns}_log (
    no INTEGER NOT NULL,
    n INTEGER NOT NULL,
    line BLOB NOT NULL,
    PRIMARY KEY (no, n)
) WITHOUT ROWID;
CREATE TABLE {ns}_meta (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE {ns}_limiter (
    queue INTEGER NOT NULL,
    name TEXT NOT NULL,
    concurrency INTEGER,
    starts INTEGER,
    per_ms INTEGER,
    held_until INTEGER NOT NULL,
    PRIMARY KEY (queue, name)
) WITHOUT ROWID;
CREATE TABLE {ns}_start (
    queue INTEGER NOT NULL,
    name TEXT NOT NULL,
    at INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (queue, name, at)
) WITHOUT ROWID;
CREATE TABLE {ns}_past (
    no INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    worker TEXT NOT NULL,
    settled BOOLEAN NOT NULL,
    error BLOB,
    PRIMARY KEY (no)
);
CREATE TABLE {ns}_progress (
    no INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (no)
);
CREATE TABLE {ns}_queue (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    ver INTEGER NOT NULL,
    paused BOOLEAN NOT NULL,
    closing BOOLEAN NOT NULL
);
CREATE UNIQUE INDEX {ns}_queue_name ON {ns}_queue (name);
CREATE TABLE {ns}_ready (
    queue INTEGER NOT NULL,
    prio SMALLINT NOT NULL,
    due INTEGER NOT NULL,
    no INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    flags SMALLINT NOT NULL,
    grp INTEGER,
    PRIMARY KEY (queue, prio, due, no)
) WITHOUT ROWID;
CREATE UNIQUE INDEX {ns}_ready_lane ON {ns}_ready (lane, prio, due, no);
CREATE TABLE {ns}_running (
    no INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    prio SMALLINT NOT NULL,
    due INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    flags SMALLINT NOT NULL,
    grp INTEGER,
    until INTEGER,
    PRIMARY KEY (no)
);
CREATE TABLE {ns}_schedule (
    "key" TEXT NOT NULL,
    definition BLOB NOT NULL,
    next_at INTEGER,
    paused BOOLEAN NOT NULL,
    fired INTEGER NOT NULL,
    last_at INTEGER,
    PRIMARY KEY ("key")
);
CREATE TABLE {ns}_slot (
    gate INTEGER NOT NULL,
    at INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (gate, at)
) WITHOUT ROWID;
CREATE INDEX {ns}_slot_at ON {ns}_slot (at);
CREATE TABLE {ns}_subscription (
    id TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE {ns}_tally (
    queue INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    added INTEGER DEFAULT '0' NOT NULL,
    started INTEGER DEFAULT '0' NOT NULL,
    completed INTEGER DEFAULT '0' NOT NULL,
    failed INTEGER DEFAULT '0' NOT NULL,
    retried INTEGER DEFAULT '0' NOT NULL,
    cancelled INTEGER DEFAULT '0' NOT NULL,
    crashed INTEGER DEFAULT '0' NOT NULL,
    removed INTEGER DEFAULT '0' NOT NULL,
    ran_ms INTEGER DEFAULT '0' NOT NULL,
    peak INTEGER DEFAULT '0' NOT NULL,
    PRIMARY KEY (queue, shard, minute)
);
CREATE TABLE {ns}_worker (
    id TEXT NOT NULL,
    body BLOB NOT NULL,
    state TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (id)
);
INSERT INTO {ns}_counter (id, now, job, lease, event, listeners_until)
VALUES (1, 0, 0, 0, 0, 0);
