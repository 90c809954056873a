-- What single jobs go through: find and hold one, take it out of its state, put it into another.
CREATE VIEW {ns}_standing AS
SELECT j.no, j.id, j.queue, q.name AS queue_name, j.lane, l.name, j.prio, j.due, j.flags,
    j.ttl_ms, j.expires_at, j.attempts, j.max_crashes,
    CASE WHEN r.no IS NOT NULL THEN 3 WHEN d.no IS NOT NULL THEN d.state::INTEGER
        WHEN y.no IS NOT NULL THEN 1 WHEN b.no IS NOT NULL THEN 2 ELSE 0 END AS state,
    coalesce(r.failures, d.failures, y.failures, w.failures, b.failures, 0) AS failures,
    coalesce(r.crashes, d.crashes, y.crashes, w.crashes, b.crashes, 0) AS crashes,
    coalesce(r.lease, d.lease, p.lease, 0) AS fence,
    coalesce(s.started_at, d.started_at, p.started_at) AS started_at,
    coalesce(s.worker, d.worker, p.worker) AS worker,
    coalesce(d.settled, p.settled, false) AS settled,
    CASE WHEN d.no IS NOT NULL AND d.state <> 4 THEN d.error ELSE coalesce(d.error, p.error) END
        AS error,
    w.queue AS ready_queue, b.line
FROM {ns}_job j
JOIN {ns}_queue q ON q.id = j.queue
JOIN {ns}_lane l ON l.id = j.lane
LEFT JOIN {ns}_running r ON r.no = j.no
LEFT JOIN {ns}_lease s ON s.no = r.lease
LEFT JOIN {ns}_done d ON d.no = j.no
LEFT JOIN {ns}_delayed y ON y.queue = j.queue AND y.due = j.due AND y.no = j.no
LEFT JOIN {ns}_ready w ON w.queue = ANY (ARRAY[j.queue, -j.queue]) AND w.prio = j.prio
    AND w.due = CASE WHEN j.flags & 4 <> 0 THEN -j.due ELSE j.due END
    AND w.no = CASE WHEN j.flags & 4 <> 0 THEN -j.no ELSE j.no END
LEFT JOIN {ns}_blocked b ON b.no = CASE WHEN j.flags & 1920 = 0 THEN NULL
    WHEN j.flags & 4 <> 0 THEN -j.no ELSE j.no END
LEFT JOIN {ns}_past p ON p.no = j.no;

-- Lock a job and the row of its state: until the step is over nobody moves it. Hot steps move jobs
-- without locking them, so the job may have gone on while this waited: then it is looked up again.
CREATE FUNCTION {ns}_hold(p_no BIGINT) RETURNS {ns}_standing
LANGUAGE plpgsql AS $$
DECLARE
    s {ns}_standing;
    v_sign INTEGER;
BEGIN
    PERFORM 1 FROM {ns}_job WHERE no = p_no FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    LOOP
        SELECT * INTO s FROM {ns}_standing WHERE no = p_no;
        v_sign := CASE WHEN s.flags & 4 <> 0 THEN -1 ELSE 1 END;
        IF s.state = 0 AND s.ready_queue IS NULL THEN
            RAISE EXCEPTION 'job % is in no state', p_no USING ERRCODE = 'data_corrupted';
        ELSIF s.state = 0 THEN
            PERFORM 1 FROM {ns}_ready WHERE queue = s.ready_queue AND prio = s.prio
                AND due = v_sign * s.due AND no = v_sign * s.no FOR UPDATE;
        ELSIF s.state = 1 THEN
            PERFORM 1 FROM {ns}_delayed WHERE queue = s.queue AND due = s.due AND no = s.no
            FOR UPDATE;
        ELSIF s.state = 2 THEN
            PERFORM 1 FROM {ns}_blocked WHERE no = v_sign * s.no FOR UPDATE;
        ELSIF s.state = 3 THEN
            PERFORM 1 FROM {ns}_lease WHERE no = s.fence FOR NO KEY UPDATE;
            PERFORM 1 FROM {ns}_running WHERE no = s.no AND lease = s.fence FOR UPDATE;
        ELSE
            PERFORM 1 FROM {ns}_done WHERE no = s.no FOR UPDATE;
        END IF;
        IF FOUND THEN
            RETURN s;
        END IF;
    END LOOP;
END $$;

-- Lock the rows in which locked jobs stand where hot steps would move them: {ns}_hold then waits for
-- nobody. A job can only go from `delayed` to `ready` to `running` meanwhile, so in this order.
CREATE FUNCTION {ns}_lock_states(p_nos BIGINT[]) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM {ns}_job j CROSS JOIN LATERAL (
        SELECT 1 FROM {ns}_delayed d WHERE d.queue = j.queue AND d.due = j.due AND d.no = j.no
        LIMIT 1 FOR UPDATE) x
    WHERE j.no = ANY (p_nos);
    PERFORM 1 FROM {ns}_job j CROSS JOIN LATERAL (
        SELECT 1 FROM {ns}_ready r
        WHERE r.queue = ANY (ARRAY[j.queue, -j.queue]) AND r.prio = j.prio
            AND r.due = CASE WHEN j.flags & 4 <> 0 THEN -j.due ELSE j.due END
            AND r.no = CASE WHEN j.flags & 4 <> 0 THEN -j.no ELSE j.no END
        LIMIT 1 FOR UPDATE) x
    WHERE j.no = ANY (p_nos);
    PERFORM 1 FROM {ns}_lease
    WHERE no = ANY (ARRAY(SELECT lease FROM {ns}_running WHERE no = ANY (p_nos)))
    ORDER BY no FOR NO KEY UPDATE;
END $$;

-- The same without waiting: tells which of the jobs nobody else is moving.
CREATE FUNCTION {ns}_free_states(p_nos BIGINT[]) RETURNS BIGINT[]
LANGUAGE plpgsql AS $$
DECLARE
    v_nos BIGINT[];
    v_leases BIGINT[];
BEGIN
    v_nos := ARRAY(
        SELECT j.no FROM {ns}_job j CROSS JOIN LATERAL (
            SELECT 1 FROM {ns}_delayed d
            WHERE d.queue = j.queue AND d.due = j.due AND d.no = j.no
            LIMIT 1 FOR UPDATE SKIP LOCKED) x
        WHERE j.no = ANY (p_nos));
    v_nos := v_nos || ARRAY(
        SELECT j.no FROM {ns}_job j CROSS JOIN LATERAL (
            SELECT 1 FROM {ns}_ready r
            WHERE r.queue = ANY (ARRAY[j.queue, -j.queue]) AND r.prio = j.prio
                AND r.due = CASE WHEN j.flags & 4 <> 0 THEN -j.due ELSE j.due END
                AND r.no = CASE WHEN j.flags & 4 <> 0 THEN -j.no ELSE j.no END
            LIMIT 1 FOR UPDATE SKIP LOCKED) x
        WHERE j.no = ANY (p_nos));
    v_leases := ARRAY(
        SELECT no FROM {ns}_lease
        WHERE no = ANY (ARRAY(SELECT lease FROM {ns}_running WHERE no = ANY (p_nos)))
        FOR NO KEY UPDATE SKIP LOCKED);
    RETURN ARRAY(
        SELECT s.no FROM {ns}_standing s WHERE s.no = ANY (p_nos) AND (
            s.state = 2 OR s.state > 3 OR s.no = ANY (v_nos)
            OR s.state = 3 AND s.fence = ANY (v_leases))
        ORDER BY s.no);
END $$;

-- Lock leases until the step is over. Tells the number of each by its place, 0 where the token is
-- not that of the lease: what holds a job is both.
-- The leases are looked up by number alone: joined with the arrays, the table would be read through.
CREATE FUNCTION {ns}_lock_leases(p_fences BIGINT[], p_tokens TEXT[]) RETURNS BIGINT[]
LANGUAGE plpgsql AS $$
DECLARE
    v_nos BIGINT[];
    v_tokens TEXT[];
BEGIN
    SELECT array_agg(no), array_agg(token) INTO v_nos, v_tokens FROM (
        SELECT no, token FROM {ns}_lease WHERE no = ANY (p_fences) ORDER BY no FOR NO KEY UPDATE) l;
    RETURN ARRAY(
        SELECT CASE WHEN u.token = v_tokens[array_position(v_nos, u.no)] THEN u.no ELSE 0 END
        FROM unnest(p_fences, p_tokens) WITH ORDINALITY u(no, token, at) ORDER BY u.at);
END $$;

-- Take a held job out of its state.
CREATE FUNCTION {ns}_leave(s {ns}_standing) RETURNS VOID
LANGUAGE plpgsql AS $$
DECLARE
    v_sign INTEGER := CASE WHEN s.flags & 4 <> 0 THEN -1 ELSE 1 END;
BEGIN
    IF s.state = 0 THEN
        DELETE FROM {ns}_ready WHERE queue = s.ready_queue AND prio = s.prio
            AND due = v_sign * s.due AND no = v_sign * s.no;
    ELSIF s.state = 1 THEN
        DELETE FROM {ns}_delayed WHERE queue = s.queue AND due = s.due AND no = s.no;
    ELSIF s.state = 2 THEN
        DELETE FROM {ns}_blocked WHERE no = v_sign * s.no;
    ELSIF s.state = 3 THEN
        DELETE FROM {ns}_running WHERE no = s.no;
        UPDATE {ns}_lease SET held = held - 1 WHERE no = s.fence;
    ELSE
        DELETE FROM {ns}_done WHERE no = s.no;
    END IF;
END $$;

-- Keep what is to be known of the last run of a job that is not finished.
CREATE FUNCTION {ns}_remember(s {ns}_standing, p_settled BOOLEAN, p_error BYTEA) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    IF s.fence > 0 THEN
        INSERT INTO {ns}_past (no, lease, started_at, worker, settled, error)
        VALUES (s.no, s.fence, s.started_at, s.worker, p_settled, p_error)
        ON CONFLICT (no) DO UPDATE SET lease = excluded.lease, started_at = excluded.started_at,
            worker = excluded.worker, settled = excluded.settled, error = excluded.error;
    END IF;
END $$;

-- Put a job that has left its state where claims find it (0), to wait for its instant (1), or in
-- its line (2). One that may not be claimed yet for its gates is held back instead: tells its state.
CREATE FUNCTION {ns}_enqueue(
    s {ns}_standing, p_now BIGINT, p_state INTEGER, p_due BIGINT, p_prio INTEGER,
    p_failures INTEGER, p_crashes INTEGER
) RETURNS INTEGER LANGUAGE plpgsql AS $$
DECLARE
    v_sign INTEGER := CASE WHEN s.flags & 4 <> 0 THEN -1 ELSE 1 END;
BEGIN
    IF p_state = 0 AND s.flags & 384 <> 0 THEN
        SELECT o_state, o_due, o_line INTO p_state, p_due, s.line
        FROM {ns}_ask_gates(s.no, p_now, p_now, p_due);
    END IF;
    IF s.prio <> p_prio OR s.due <> p_due THEN
        UPDATE {ns}_job SET prio = p_prio, due = p_due WHERE no = s.no;
    END IF;
    IF p_state = 0 THEN
        INSERT INTO {ns}_ready (queue, prio, due, no, lane, failures, crashes, flags)
        VALUES (s.queue, p_prio, v_sign * p_due, v_sign * s.no, s.lane, p_failures, p_crashes,
            s.flags);
    ELSIF p_state = 1 THEN
        INSERT INTO {ns}_delayed (queue, due, no, lane, prio, failures, crashes, flags)
        VALUES (s.queue, p_due, s.no, s.lane, p_prio, p_failures, p_crashes, s.flags);
    ELSE
        INSERT INTO {ns}_blocked (line, prio, due, no, queue, lane, failures, crashes, flags)
        VALUES (s.line, p_prio, v_sign * p_due, v_sign * s.no, s.queue, s.lane, p_failures,
            p_crashes, s.flags);
    END IF;
    RETURN p_state;
END $$;

-- Let a job that has left its state start anew: not cancelled, its time to live whole.
CREATE FUNCTION {ns}_renew(s {ns}_standing, p_now BIGINT) RETURNS {ns}_standing
LANGUAGE plpgsql AS $$
BEGIN
    s.flags := s.flags & ~1::SMALLINT;
    s.expires_at := p_now + s.ttl_ms;
    UPDATE {ns}_job SET flags = s.flags, expires_at = s.expires_at WHERE no = s.no;
    IF s.expires_at IS NOT NULL THEN
        INSERT INTO {ns}_expiry (at, no) VALUES (s.expires_at, s.no) ON CONFLICT DO NOTHING;
    END IF;
    RETURN s;
END $$;

-- Leave no trace of jobs that have left their states, and that their gates have let go of.
CREATE FUNCTION {ns}_erase(p_nos BIGINT[]) RETURNS VOID
LANGUAGE plpgsql AS $$
DECLARE
    v_tied BIGINT[];
    v_keyed BIGINT[];
BEGIN
    DELETE FROM {ns}_expiry e USING {ns}_job j
    WHERE j.no = ANY (p_nos) AND j.expires_at IS NOT NULL AND e.at = j.expires_at AND e.no = j.no;
    DELETE FROM {ns}_progress WHERE no = ANY (p_nos);
    DELETE FROM {ns}_log WHERE no = ANY (p_nos);
    DELETE FROM {ns}_past WHERE no = ANY (p_nos);
    DELETE FROM {ns}_keep WHERE no = ANY (p_nos);
    WITH gone AS (
        DELETE FROM {ns}_job WHERE no = ANY (p_nos) RETURNING no, queue, flags, dedup
    ), k AS (
        -- A key that is not held for a time of its own is nobody's now. One that is locked is on
        -- its way to somebody else.
        DELETE FROM {ns}_dedup WHERE ctid = ANY (ARRAY(
            SELECT d.ctid FROM gone JOIN {ns}_dedup d
                ON d.queue = gone.queue AND d.key = gone.dedup
            WHERE gone.flags & 2048 <> 0 AND d.no = gone.no AND d.until IS NULL
            FOR UPDATE OF d SKIP LOCKED))
    )
    SELECT array_agg(no) INTO v_tied FROM gone WHERE flags & 896 <> 0;
    IF v_tied IS NOT NULL THEN
        DELETE FROM {ns}_gated WHERE no = ANY (v_tied);
        DELETE FROM {ns}_dep WHERE child = ANY (v_tied);
    END IF;
END $$;

-- End a job that has left its state, and keep its record as its rules say (SETTLE-11). Tells
-- whether it left a record, how many older ones were removed for it, at most `p_room`, and what
-- followed for others.
CREATE FUNCTION {ns}_finish(
    s {ns}_standing, p_now BIGINT, p_state INTEGER, p_failures INTEGER, p_crashes INTEGER,
    p_settled BOOLEAN, p_reason TEXT, p_result BYTEA, p_error BYTEA, p_room INTEGER,
    OUT o_kept BOOLEAN, OUT o_removed INTEGER, OUT o_news {ns}_news
) LANGUAGE plpgsql AS $$
DECLARE
    v_count BIGINT;
    v_age BIGINT;
    v_nos BIGINT[];
BEGIN
    o_removed := 0;
    IF s.flags & 1920 <> 0 THEN
        o_news := {ns}_let_go(s, p_now, p_state);
    END IF;
    IF p_state = 4 AND s.flags & 16 <> 0 THEN
        v_count := 0;
    ELSIF p_state = 4 AND s.flags & 32 <> 0 THEN
        SELECT completed_count, completed_ms INTO v_count, v_age FROM {ns}_keep WHERE no = s.no;
    ELSIF p_state NOT IN (4, 7) AND s.flags & 8 <> 0 THEN
        SELECT failed_count, failed_ms INTO v_count, v_age FROM {ns}_keep WHERE no = s.no;
    END IF;
    o_kept := v_count IS DISTINCT FROM 0 OR {ns}_is_needed(s.flags, s.id);
    IF NOT o_kept THEN
        PERFORM {ns}_erase(ARRAY[s.no]);
        RETURN;
    END IF;
    INSERT INTO {ns}_done (no, queue, state, finished_at, lease, started_at, worker, failures,
        crashes, settled, purge_at, keep_count, reason, result, error)
    VALUES (s.no, s.queue, p_state, p_now, s.fence, s.started_at, s.worker, p_failures, p_crashes,
        p_settled, p_now + v_age, v_count, p_reason, p_result, p_error);
    IF v_count IS NULL OR v_count NOT BETWEEN 1 AND 1000 OR p_room <= 0 THEN
        RETURN; -- counting more than that costs too much here: retention removes what is beyond
    END IF;
    v_nos := ARRAY(
        SELECT d.no FROM {ns}_done d JOIN {ns}_job j ON j.no = d.no
        WHERE d.queue = s.queue AND d.state = p_state AND NOT {ns}_is_needed(j.flags, j.id)
        ORDER BY d.finished_at, d.no LIMIT least(p_room, greatest(0, (
            SELECT count(*) - v_count FROM (
                SELECT 1 FROM {ns}_done WHERE queue = s.queue AND state = p_state
                LIMIT v_count + p_room) x))));
    IF cardinality(v_nos) > 0 THEN
        v_nos := ARRAY(
            SELECT no FROM {ns}_job
            WHERE no = ANY (v_nos) AND NOT {ns}_is_needed(flags, id) FOR UPDATE SKIP LOCKED);
        WITH gone AS (DELETE FROM {ns}_done WHERE no = ANY (v_nos) RETURNING no)
        SELECT array_agg(no), count(*) INTO v_nos, o_removed FROM gone;
        PERFORM {ns}_erase(v_nos);
    END IF;
END $$;

-- The tally that counts an end.
CREATE FUNCTION {ns}_tally_of(p_state INTEGER) RETURNS INTEGER
LANGUAGE sql IMMUTABLE AS $$ SELECT CASE p_state WHEN 4 THEN 2 WHEN 6 THEN 5 ELSE 3 END $$;
