-- What every step does at its beginning and its end: take the time, count, tell.
--
-- A step is one call of one function, so that it is one round trip and one transaction. A function
-- that clients call carries its own search path and planner settings: no session has to.
--
-- The order of locks, which every step keeps to, so that no two wait for each other:
--   1  the schedule that ticks; the turn of a reaper
--   2  queues' names, sorted (advisory), with the rows of queues and lanes that a step makes
--   3  dedup keys, by queue and key
--   4  gates: groups, then rates, each by queue and key
--   5  jobs by number
--   6  rows of `delayed`, then of `ready`, of jobs that are locked
--   7  leases by number, with the rows of `running` that they cover
--   8  ids of jobs that a step makes, sorted
--   9  limiters by queue and name
--  10  counts: of each queue, by its number, the gauge and then, to tell whether it ran dry, its row
--  11  the end of the log of events
-- A row that may be made by one step while another looks for it is made and locked by one statement,
-- in order, or it would be locked when the wait for its maker is over. All of a kind is locked before
-- the first of the next kind: a step that finds out later that it needs more begins anew (40001).
-- Claims, reapers and chores that come upon rows out of order skip those that are locked. A claim and
-- a settle of plain runs lock nothing before 7. Who has locked a job has locked its gates, and
-- what stands before a gate is touched only by who has locked that.
CREATE TYPE {ns}_move AS (
    queue INTEGER, source INTEGER, target INTEGER, tally INTEGER, n BIGINT, ran_ms BIGINT,
    was_due BOOLEAN
);
CREATE TYPE {ns}_told AS (
    kind TEXT, queue TEXT, job_id TEXT, name TEXT, worker TEXT, attempt INTEGER, ran_ms BIGINT,
    data BYTEA
);

CREATE TYPE {ns}_ended AS (id TEXT, completed BOOLEAN);
CREATE TYPE {ns}_news AS (moves {ns}_move[], told {ns}_told[], ended {ns}_ended[]);

-- The time of a step. The server's own decides how durable a commit is, unless a caller chose
-- "fast", or the role was made so.
CREATE FUNCTION {ns}_begin(p_now BIGINT, p_fast BOOLEAN) RETURNS BIGINT
LANGUAGE plpgsql AS $$
BEGIN
    IF p_fast THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    ELSIF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    RETURN coalesce(p_now, floor(extract(epoch FROM clock_timestamp()) * 1000)::BIGINT);
END $$;

CREATE FUNCTION {ns}_listening(p_now BIGINT) RETURNS BOOLEAN
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT listeners_until > p_now FROM {ns}_counter WHERE id = 1);
END $$;

-- Write what happened in a minute that is over, and begin another.
CREATE FUNCTION {ns}_turn_minute(p_queue INTEGER, p_shard INTEGER, p_minute BIGINT) RETURNS VOID
LANGUAGE plpgsql AS $$
DECLARE
    g {ns}_gauge;
    v_before BIGINT := p_minute - 25 * 3600000;
BEGIN
    SELECT * INTO g FROM {ns}_gauge WHERE queue = p_queue AND shard = p_shard FOR UPDATE;
    IF g.minute IS NULL OR g.minute = p_minute THEN
        RETURN;
    END IF;
    INSERT INTO {ns}_tally AS t VALUES (p_queue, p_shard, g.minute, g.now_added, g.now_started,
        g.now_completed, g.now_failed, g.now_retried, g.now_cancelled, g.now_crashed,
        g.now_removed, g.now_ran_ms, g.now_peak)
    ON CONFLICT (queue, shard, minute) DO UPDATE SET added = t.added + excluded.added,
        started = t.started + excluded.started, completed = t.completed + excluded.completed,
        failed = t.failed + excluded.failed, retried = t.retried + excluded.retried,
        cancelled = t.cancelled + excluded.cancelled, crashed = t.crashed + excluded.crashed,
        removed = t.removed + excluded.removed, ran_ms = t.ran_ms + excluded.ran_ms,
        peak = greatest(t.peak, excluded.peak);
    UPDATE {ns}_gauge SET minute = p_minute, now_added = 0, now_started = 0, now_completed = 0,
        now_failed = 0, now_retried = 0, now_cancelled = 0, now_crashed = 0, now_removed = 0,
        now_ran_ms = 0, now_peak = 0
    WHERE queue = p_queue AND shard = p_shard;
    WITH old AS (
        DELETE FROM {ns}_tally WHERE queue = p_queue AND shard = p_shard AND minute > 0
            AND minute < v_before RETURNING *)
    INSERT INTO {ns}_tally AS t
    SELECT p_queue, p_shard, 0, sum(added), sum(started), sum(completed), sum(failed),
        sum(retried), sum(cancelled), sum(crashed), sum(removed), sum(ran_ms), max(peak)
    FROM old HAVING count(*) > 0
    ON CONFLICT (queue, shard, minute) DO UPDATE SET added = t.added + excluded.added,
        started = t.started + excluded.started, completed = t.completed + excluded.completed,
        failed = t.failed + excluded.failed, retried = t.retried + excluded.retried,
        cancelled = t.cancelled + excluded.cancelled, crashed = t.crashed + excluded.crashed,
        removed = t.removed + excluded.removed, ran_ms = t.ran_ms + excluded.ran_ms,
        peak = greatest(t.peak, excluded.peak);
END $$;

-- Tell whether this step left a queue with nothing to do. The lock makes the last of several steps
-- see the others; adds do not take it (EVENTS-6).
CREATE FUNCTION {ns}_ran_dry(p_queue INTEGER, p_now BIGINT, p_change BIGINT, p_was_due BOOLEAN)
RETURNS BOOLEAN LANGUAGE plpgsql AS $$
DECLARE
    v_busy BIGINT;
BEGIN
    IF p_change >= 0 AND NOT p_was_due THEN
        RETURN false;
    END IF;
    PERFORM 1 FROM {ns}_queue WHERE id = p_queue FOR NO KEY UPDATE;
    SELECT sum(waiting) + sum(active) INTO v_busy FROM {ns}_gauge WHERE queue = p_queue;
    RETURN v_busy = 0 AND (p_change < 0 OR p_was_due)
        AND NOT EXISTS (SELECT 1 FROM {ns}_delayed WHERE queue = p_queue AND due <= p_now);
END $$;

-- Add to the counts of a queue, in a row that only steps of this server process write (of 64):
-- steps in flight together have different ones, so that none waits for another. Tells whether the
-- queue has run dry.
CREATE FUNCTION {ns}_count(
    p_queue INTEGER, p_now BIGINT, p_listening BOOLEAN, g BIGINT[], t BIGINT[], p_was_due BOOLEAN
) RETURNS {ns}_told[] LANGUAGE plpgsql AS $$
DECLARE
    v_shard INTEGER := pg_backend_pid() % 64;
    v_minute BIGINT := p_now - p_now % 60000;
    v_active BIGINT := 0;
BEGIN
    IF t[2] > 0 THEN
        SELECT coalesce(sum(active), 0) + g[4] INTO v_active
        FROM {ns}_gauge WHERE queue = p_queue;
    END IF;
    LOOP
        UPDATE {ns}_gauge SET waiting = waiting + g[1], delayed = delayed + g[2],
            blocked = blocked + g[3], active = active + g[4], completed = completed + g[5],
            failed = failed + g[6], cancelled = cancelled + g[7], stalled = stalled + g[8],
            dead = dead + g[9], now_added = now_added + t[1], now_started = now_started + t[2],
            now_completed = now_completed + t[3], now_failed = now_failed + t[4],
            now_retried = now_retried + t[5], now_cancelled = now_cancelled + t[6],
            now_crashed = now_crashed + t[7], now_removed = now_removed + t[8],
            now_ran_ms = now_ran_ms + t[9], now_peak = greatest(now_peak, v_active)
        WHERE queue = p_queue AND shard = v_shard AND minute = v_minute;
        EXIT WHEN FOUND;
        INSERT INTO {ns}_gauge (queue, shard, minute) VALUES (p_queue, v_shard, v_minute)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            PERFORM {ns}_turn_minute(p_queue, v_shard, v_minute);
        END IF;
    END LOOP;
    IF p_listening AND {ns}_ran_dry(p_queue, p_now, g[1] + g[4], p_was_due) THEN
        RETURN ARRAY[ROW('drained', (SELECT name FROM {ns}_queue WHERE id = p_queue), NULL, NULL,
            NULL, NULL, NULL, NULL)::{ns}_told];
    END IF;
    RETURN '{}';
END $$;

-- Append events. The key lets a reader wait for steps that began before and are not over: it
-- grows with the order in which steps that touch the same job end.
CREATE FUNCTION {ns}_tell(p_now BIGINT, p_told {ns}_told[]) RETURNS VOID
LANGUAGE plpgsql AS $$
DECLARE
    v_first BIGINT;
    v_last BIGINT;
    v_key BIGINT;
    v_id BIGINT;
BEGIN
    WITH i AS (
        INSERT INTO {ns}_event (key, at, kind, queue, job_id, name, worker, attempt, ran_ms, data)
        SELECT greatest(pg_snapshot_xmax(pg_current_snapshot())::TEXT::BIGINT - 1,
                pg_current_xact_id()::TEXT::BIGINT),
            p_now, t.kind, t.queue, t.job_id, t.name, t.worker, t.attempt, t.ran_ms, t.data
        FROM unnest(p_told) WITH ORDINALITY t ORDER BY t.ordinality
        RETURNING id)
    SELECT min(id), max(id) INTO v_first, v_last FROM i;
    IF v_first / 1000 = v_last / 1000 AND v_first % 1000 <> 0 THEN
        RETURN;
    END IF;
    WITH old AS (
        DELETE FROM {ns}_event WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM {ns}_event WHERE id <= v_last - 12000 ORDER BY id
            FOR UPDATE SKIP LOCKED))
        RETURNING key, id)
    SELECT key, id INTO v_key, v_id FROM old ORDER BY key DESC, id DESC LIMIT 1;
    IF v_key IS NOT NULL THEN
        UPDATE {ns}_counter SET trimmed_key = v_key, trimmed_id = v_id
        WHERE id = 1 AND (trimmed_key, trimmed_id) < (v_key, v_id);
    END IF;
END $$;

-- Write what a step counted and told.
CREATE FUNCTION {ns}_book(
    p_now BIGINT, p_listening BOOLEAN, p_moves {ns}_move[], p_told {ns}_told[]
) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    v_queue INTEGER;
    v_one BOOLEAN := true;
    v_was_due BOOLEAN := false;
    g BIGINT[] := '{0,0,0,0,0,0,0,0,0}';
    t BIGINT[] := '{0,0,0,0,0,0,0,0,0}';
    m {ns}_move;
    q RECORD;
BEGIN
    -- Most steps are about one queue: to add up their moves here costs less than a statement does.
    FOREACH m IN ARRAY coalesce(p_moves, '{}') LOOP
        v_one := v_queue IS NULL OR m.queue = v_queue;
        EXIT WHEN NOT v_one;
        v_queue := m.queue;
        IF m.target IS NOT NULL THEN
            g[m.target + 1] := g[m.target + 1] + m.n;
        END IF;
        IF m.source IS NOT NULL THEN
            g[m.source + 1] := g[m.source + 1] - m.n;
        END IF;
        IF m.tally IS NOT NULL THEN
            t[m.tally + 1] := t[m.tally + 1] + m.n;
        END IF;
        t[9] := t[9] + coalesce(m.ran_ms, 0);
        v_was_due := v_was_due OR coalesce(m.was_due, false);
    END LOOP;
    IF v_one AND v_queue IS NOT NULL THEN
        p_told := p_told || {ns}_count(v_queue, p_now, p_listening, g, t, v_was_due);
    ELSIF NOT v_one THEN
        FOR q IN
            SELECT e.queue,
                ARRAY(SELECT coalesce(sum(x.n) FILTER (WHERE x.target = s), 0)
                        - coalesce(sum(x.n) FILTER (WHERE x.source = s), 0)
                    FROM unnest(p_moves) x, generate_series(0, 8) s
                    WHERE x.queue = e.queue GROUP BY s ORDER BY s)::BIGINT[] AS g,
                ARRAY(SELECT coalesce(sum(x.n) FILTER (WHERE x.tally = s), 0)
                    FROM unnest(p_moves) x, generate_series(0, 7) s
                    WHERE x.queue = e.queue GROUP BY s ORDER BY s)::BIGINT[]
                    || coalesce(sum(e.ran_ms), 0)::BIGINT AS t,
                coalesce(bool_or(e.was_due), false) AS was_due
            FROM unnest(p_moves) e GROUP BY e.queue ORDER BY e.queue
        LOOP
            p_told := p_told
                || {ns}_count(q.queue, p_now, p_listening, q.g, q.t, q.was_due);
        END LOOP;
    END IF;
    IF p_listening AND cardinality(p_told) > 0 THEN
        PERFORM {ns}_tell(p_now, p_told);
    END IF;
END $$;
