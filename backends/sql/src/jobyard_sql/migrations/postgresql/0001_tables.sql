-- The tables of a namespace: see jobyard_sql/tables.py for what they hold.
CREATE SEQUENCE {ns}_job_no;
CREATE SEQUENCE {ns}_lease_no;
CREATE TABLE {ns}_meta (
    name TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE {ns}_counter (
    id BIGINT NOT NULL,
    listeners_until BIGINT NOT NULL,
    trimmed_key BIGINT NOT NULL,
    trimmed_id BIGINT NOT NULL,
    PRIMARY KEY (id)
);
INSERT INTO {ns}_counter VALUES (1, 0, 0, 0);
CREATE TABLE {ns}_queue (
    id SERIAL NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    ver BIGINT NOT NULL,
    paused BOOLEAN NOT NULL,
    closing BOOLEAN NOT NULL,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX {ns}_queue_name ON {ns}_queue (name);
CREATE TABLE {ns}_lane (
    id SERIAL NOT NULL,
    queue INTEGER NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX {ns}_lane_key ON {ns}_lane (queue, channel, name);
CREATE TABLE {ns}_job (
    no BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    queue INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    prio SMALLINT NOT NULL,
    due BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    max_crashes INTEGER NOT NULL,
    flags SMALLINT NOT NULL,
    ttl_ms BIGINT,
    expires_at BIGINT,
    grp BIGINT,
    dedup TEXT COLLATE "C",
    payload BYTEA NOT NULL,
    options BYTEA NOT NULL,
    PRIMARY KEY (no)
);
CREATE UNIQUE INDEX {ns}_job_id ON {ns}_job (id);
CREATE TABLE {ns}_keep (
    no BIGINT NOT NULL,
    completed_count BIGINT,
    completed_ms BIGINT,
    failed_count BIGINT,
    failed_ms BIGINT,
    PRIMARY KEY (no)
);
CREATE TABLE {ns}_expiry (
    at BIGINT NOT NULL,
    no BIGINT NOT NULL,
    PRIMARY KEY (at, no)
);
CREATE TABLE {ns}_progress (
    no BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (no)
);
CREATE TABLE {ns}_log (
    no BIGINT NOT NULL,
    n BIGINT NOT NULL,
    line BYTEA NOT NULL,
    PRIMARY KEY (no, n)
);
-- Rows come and go by the thousand in these: they are vacuumed early, and never cut short, which
-- would need the whole table for itself.
CREATE TABLE {ns}_ready (
    queue INTEGER NOT NULL,
    prio SMALLINT NOT NULL,
    due BIGINT NOT NULL,
    no BIGINT NOT NULL,
    lane INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    flags SMALLINT NOT NULL,
    grp BIGINT,
    PRIMARY KEY (queue, prio, due, no)
) WITH (vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX {ns}_ready_lane ON {ns}_ready (lane, prio, due, no);
CREATE TABLE {ns}_delayed (
    queue INTEGER NOT NULL,
    due BIGINT NOT NULL,
    no BIGINT NOT NULL,
    lane INTEGER NOT NULL,
    prio SMALLINT NOT NULL,
    failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    flags SMALLINT NOT NULL,
    grp BIGINT,
    PRIMARY KEY (queue, due, no)
) WITH (vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE {ns}_blocked (
    line BIGINT NOT NULL,
    prio SMALLINT NOT NULL,
    due BIGINT NOT NULL,
    no BIGINT NOT NULL,
    queue INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    flags SMALLINT NOT NULL,
    grp BIGINT,
    PRIMARY KEY (line, prio, due, no)
) WITH (vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX {ns}_blocked_no ON {ns}_blocked (no);
CREATE TABLE {ns}_gate (
    id BIGSERIAL NOT NULL,
    queue INTEGER NOT NULL,
    kind SMALLINT NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    room BIGINT NOT NULL,
    per_ms BIGINT,
    taken BIGINT NOT NULL,
    members BIGINT NOT NULL,
    PRIMARY KEY (id)
) WITH (fillfactor = 50, vacuum_truncate = off);
CREATE UNIQUE INDEX {ns}_gate_key ON {ns}_gate (queue, kind, key);
CREATE TABLE {ns}_slot (
    gate BIGINT NOT NULL,
    at BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (gate, at)
);
CREATE INDEX {ns}_slot_at ON {ns}_slot (at);
CREATE TABLE {ns}_gated (
    no BIGINT NOT NULL,
    grp BIGINT,
    grp_key TEXT COLLATE "C",
    places BIGINT,
    placed BOOLEAN NOT NULL,
    rate BIGINT,
    rate_key TEXT COLLATE "C",
    starts BIGINT,
    per_ms BIGINT,
    slot_at BIGINT,
    PRIMARY KEY (no)
);
CREATE TABLE {ns}_dedup (
    queue INTEGER NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    no BIGINT NOT NULL,
    job_id TEXT COLLATE "C" NOT NULL,
    until BIGINT,
    PRIMARY KEY (queue, key)
);
CREATE INDEX {ns}_dedup_until ON {ns}_dedup (until) WHERE until IS NOT NULL;
CREATE TABLE {ns}_dep (
    child BIGINT NOT NULL,
    at BIGINT NOT NULL,
    parent TEXT COLLATE "C" NOT NULL,
    ignored BOOLEAN NOT NULL,
    attached BOOLEAN NOT NULL,
    waits BOOLEAN NOT NULL,
    PRIMARY KEY (child, at)
);
CREATE INDEX {ns}_dep_parent ON {ns}_dep (parent);
CREATE TABLE {ns}_lease (
    no BIGINT NOT NULL,
    token TEXT COLLATE "C" NOT NULL,
    until BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    worker TEXT COLLATE "C" NOT NULL,
    held INTEGER NOT NULL,
    PRIMARY KEY (no)
) WITH (fillfactor = 50, vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX {ns}_lease_token ON {ns}_lease (token);
CREATE TABLE {ns}_running (
    no BIGINT NOT NULL,
    lease BIGINT NOT NULL,
    queue INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    prio SMALLINT NOT NULL,
    due BIGINT NOT NULL,
    failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    flags SMALLINT NOT NULL,
    grp BIGINT,
    until BIGINT,
    PRIMARY KEY (no)
) WITH (vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE {ns}_limiter (
    queue INTEGER NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    concurrency BIGINT,
    starts BIGINT,
    per_ms BIGINT,
    held_until BIGINT NOT NULL,
    PRIMARY KEY (queue, name)
);
CREATE TABLE {ns}_start (
    queue INTEGER NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (queue, name, at)
);
CREATE TABLE {ns}_past (
    no BIGINT NOT NULL,
    lease BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    worker TEXT COLLATE "C" NOT NULL,
    settled BOOLEAN NOT NULL,
    error BYTEA,
    PRIMARY KEY (no)
);
CREATE TABLE {ns}_done (
    no BIGINT NOT NULL,
    queue INTEGER NOT NULL,
    state SMALLINT NOT NULL,
    finished_at BIGINT NOT NULL,
    lease BIGINT NOT NULL,
    started_at BIGINT,
    worker TEXT COLLATE "C",
    failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    settled BOOLEAN NOT NULL,
    purge_at BIGINT,
    keep_count BIGINT,
    reason TEXT COLLATE "C",
    result BYTEA,
    error BYTEA,
    PRIMARY KEY (no)
);
CREATE INDEX {ns}_done_age ON {ns}_done (queue, state, finished_at, no);
CREATE INDEX {ns}_done_kept ON {ns}_done (queue, state, keep_count, finished_at, no)
    WHERE keep_count IS NOT NULL;
CREATE INDEX {ns}_done_purge ON {ns}_done (purge_at) WHERE purge_at IS NOT NULL;
CREATE TABLE {ns}_gauge (
    queue INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    waiting BIGINT DEFAULT '0' NOT NULL,
    delayed BIGINT DEFAULT '0' NOT NULL,
    blocked BIGINT DEFAULT '0' NOT NULL,
    active BIGINT DEFAULT '0' NOT NULL,
    completed BIGINT DEFAULT '0' NOT NULL,
    failed BIGINT DEFAULT '0' NOT NULL,
    cancelled BIGINT DEFAULT '0' NOT NULL,
    stalled BIGINT DEFAULT '0' NOT NULL,
    dead BIGINT DEFAULT '0' NOT NULL,
    minute BIGINT DEFAULT '0' NOT NULL,
    now_added BIGINT DEFAULT '0' NOT NULL,
    now_started BIGINT DEFAULT '0' NOT NULL,
    now_completed BIGINT DEFAULT '0' NOT NULL,
    now_failed BIGINT DEFAULT '0' NOT NULL,
    now_retried BIGINT DEFAULT '0' NOT NULL,
    now_cancelled BIGINT DEFAULT '0' NOT NULL,
    now_crashed BIGINT DEFAULT '0' NOT NULL,
    now_removed BIGINT DEFAULT '0' NOT NULL,
    now_ran_ms BIGINT DEFAULT '0' NOT NULL,
    now_peak BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (queue, shard)
) WITH (fillfactor = 20, vacuum_truncate = off);
CREATE TABLE {ns}_tally (
    queue INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    minute BIGINT NOT NULL,
    added BIGINT DEFAULT '0' NOT NULL,
    started BIGINT DEFAULT '0' NOT NULL,
    completed BIGINT DEFAULT '0' NOT NULL,
    failed BIGINT DEFAULT '0' NOT NULL,
    retried BIGINT DEFAULT '0' NOT NULL,
    cancelled BIGINT DEFAULT '0' NOT NULL,
    crashed BIGINT DEFAULT '0' NOT NULL,
    removed BIGINT DEFAULT '0' NOT NULL,
    ran_ms BIGINT DEFAULT '0' NOT NULL,
    peak BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (queue, shard, minute)
);
CREATE TABLE {ns}_event (
    id BIGSERIAL NOT NULL,
    key BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    queue TEXT COLLATE "C" NOT NULL,
    job_id TEXT COLLATE "C",
    name TEXT COLLATE "C",
    worker TEXT COLLATE "C",
    attempt INTEGER,
    ran_ms BIGINT,
    data BYTEA,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX {ns}_event_order ON {ns}_event (key, id);
CREATE TABLE {ns}_schedule (
    key TEXT COLLATE "C" NOT NULL,
    definition BYTEA NOT NULL,
    next_at BIGINT,
    paused BOOLEAN NOT NULL,
    fired BIGINT NOT NULL,
    last_at BIGINT,
    PRIMARY KEY (key)
);
CREATE TABLE {ns}_worker (
    id TEXT COLLATE "C" NOT NULL,
    body BYTEA NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE {ns}_subscription (
    id TEXT COLLATE "C" NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (id)
);
