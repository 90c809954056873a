-- Store jobs. With a key, as the tick of a schedule: only if its next tick is the one expected.
--
-- A queue that is being forgotten and an add to it must not overlap, else the jobs would belong to
-- no queue: adds share a lock on the queue's name, forgetting takes it for itself.
CREATE FUNCTION {ns}_lock_name(p_queue TEXT, p_alone BOOLEAN) RETURNS VOID
LANGUAGE plpgsql AS $$
DECLARE
    v_space INTEGER := ('{ns}_queue'::REGCLASS)::OID::BIGINT::BIT(32)::INTEGER;
BEGIN
    IF p_alone THEN
        PERFORM pg_advisory_xact_lock(v_space, hashtext(p_queue));
    ELSE
        PERFORM pg_advisory_xact_lock_shared(v_space, hashtext(p_queue));
    END IF;
END $$;

-- Find a queue, or make it known; `o_new` tells that this step did.
CREATE FUNCTION {ns}_known_queue(p_queue TEXT, OUT o_id INTEGER, OUT o_new BOOLEAN)
LANGUAGE plpgsql AS $$
BEGIN
    o_new := false;
    PERFORM {ns}_lock_name(p_queue, false);
    SELECT id INTO o_id FROM {ns}_queue WHERE name = p_queue;
    IF NOT FOUND THEN
        INSERT INTO {ns}_queue (name, ver, paused, closing) VALUES (p_queue, 0, false, false)
        ON CONFLICT DO NOTHING;
        o_new := FOUND;
        SELECT id INTO o_id FROM {ns}_queue WHERE name = p_queue;
        INSERT INTO {ns}_gauge (queue, shard) VALUES (o_id, pg_backend_pid() % 64)
        ON CONFLICT DO NOTHING;
    END IF;
END $$;

-- A lane's number is a random one: a server that lost its last commits (a standby that lagged, a
-- backup) would give the next of a sequence again, and handles remember what lane has which number.
CREATE FUNCTION {ns}_known_lane(p_queue INTEGER, p_channel TEXT, p_name TEXT) RETURNS INTEGER
LANGUAGE plpgsql AS $$
DECLARE
    v_id INTEGER;
BEGIN
    SELECT id INTO v_id FROM {ns}_lane
    WHERE queue = p_queue AND channel = p_channel AND name = p_name;
    WHILE v_id IS NULL LOOP
        INSERT INTO {ns}_lane (id, queue, channel, name)
        VALUES (1 + floor(random() * 2147483647)::INTEGER, p_queue, p_channel, p_name)
        ON CONFLICT DO NOTHING;
        SELECT id INTO v_id FROM {ns}_lane
        WHERE queue = p_queue AND channel = p_channel AND name = p_name;
    END LOOP;
    RETURN v_id;
END $$;

-- Find or make lanes, which come sorted by queue; `o_new` are the queues that were not known.
CREATE FUNCTION {ns}_known_lanes(
    p_queues TEXT[], p_channels TEXT[], p_names TEXT[],
    OUT o_queues INTEGER[], OUT o_lanes INTEGER[], OUT o_new INTEGER[]
) LANGUAGE plpgsql AS $$
DECLARE
    v_part RECORD;
BEGIN
    o_queues := '{}';
    o_lanes := '{}';
    o_new := '{}';
    FOR i IN 1 .. cardinality(p_queues) LOOP
        IF i > 1 AND p_queues[i] = p_queues[i - 1] THEN
            o_queues := o_queues || o_queues[i - 1];
        ELSE
            v_part := {ns}_known_queue(p_queues[i]);
            o_queues := o_queues || v_part.o_id;
            IF v_part.o_new THEN
                o_new := o_new || v_part.o_id;
            END IF;
        END IF;
        o_lanes := o_lanes || {ns}_known_lane(o_queues[i], p_channels[i], p_names[i]);
    END LOOP;
END $$;

-- Move a schedule on, if its next tick is the one expected; without a key there is none.
CREATE FUNCTION {ns}_tick(p_key TEXT, p_expected BIGINT, p_next BIGINT) RETURNS BOOLEAN
LANGUAGE plpgsql AS $$
BEGIN
    IF p_key IS NULL THEN
        RETURN true;
    END IF;
    UPDATE {ns}_schedule SET next_at = p_next, last_at = p_expected, fired = fired + 1
    WHERE key = p_key AND NOT paused AND next_at = p_expected;
    RETURN FOUND;
END $$;

-- A queue that got no job stays unknown.
CREATE FUNCTION {ns}_disown(p_new INTEGER[], p_made BIGINT[]) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM {ns}_queue WHERE id = ANY (p_new)
        AND id <> ALL (ARRAY(SELECT queue FROM {ns}_job WHERE no = ANY (p_made)));
    IF FOUND THEN
        DELETE FROM {ns}_lane l WHERE l.queue = ANY (p_new)
            AND NOT EXISTS (SELECT 1 FROM {ns}_queue q WHERE q.id = l.queue);
        DELETE FROM {ns}_gauge g WHERE g.queue = ANY (p_new)
            AND NOT EXISTS (SELECT 1 FROM {ns}_queue q WHERE q.id = g.queue);
    END IF;
END $$;

-- Lanes come once each, sorted; a job names its lane by its place. `o_fresh` and `o_states` are
-- null when every job is new. Jobs are inserted sorted by id, so that adds of the same ids in
-- another order wait for each other in one direction only.
CREATE FUNCTION {ns}_add(
    p_now BIGINT, p_fast BOOLEAN, p_key TEXT, p_expected BIGINT, p_next BIGINT,
    p_queues TEXT[], p_channels TEXT[], p_names TEXT[],
    p_ids TEXT[], p_lanes INTEGER[], p_prios INTEGER[], p_delays BIGINT[], p_run_ats BIGINT[],
    p_ttls BIGINT[], p_attempts INTEGER[], p_crashes INTEGER[], p_flags INTEGER[],
    p_payloads BYTEA[], p_options BYTEA[],
    p_keeps INTEGER[], p_keep_counts BIGINT[], p_keep_ages BIGINT[], p_fail_counts BIGINT[],
    p_fail_ages BIGINT[],
    OUT o_now BIGINT, OUT o_fired BOOLEAN, OUT o_listening BOOLEAN, OUT o_fresh BOOLEAN[],
    OUT o_states INTEGER[]
) LANGUAGE plpgsql
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_n INTEGER := cardinality(p_ids);
    v_queues INTEGER[] := '{}';
    v_lanes INTEGER[] := '{}';
    v_new INTEGER[] := '{}';
    v_part RECORD;
    v_nos BIGINT[];
    v_made BIGINT[];
    v_moves {ns}_move[];
    v_told {ns}_told[] := '{}';
BEGIN
    o_now := {ns}_begin(p_now, p_fast);
    o_listening := {ns}_listening(o_now);
    o_fired := {ns}_tick(p_key, p_expected, p_next);
    IF NOT o_fired OR v_n = 0 THEN
        RETURN;
    END IF;
    v_part := {ns}_known_lanes(p_queues, p_channels, p_names);
    v_queues := v_part.o_queues;
    v_lanes := v_part.o_lanes;
    v_new := v_part.o_new;
    v_nos := ARRAY(SELECT nextval('{ns}_job_no') FROM generate_series(1, v_n));
    WITH x AS (
        SELECT no, id, v_queues[place] AS queue, v_lanes[place] AS lane, prio,
            greatest(o_now, coalesce(run_at, o_now + delay)) AS due, attempts, max_crashes, flags,
            ttl, payload, options
        FROM unnest(v_nos, p_ids, p_lanes, p_prios, p_delays, p_run_ats, p_ttls, p_attempts,
            p_crashes, p_flags, p_payloads, p_options) AS x(no, id, place, prio, delay, run_at,
            ttl, attempts, max_crashes, flags, payload, options)
    ), j AS (
        INSERT INTO {ns}_job (no, id, queue, lane, prio, due, created_at, attempts, max_crashes,
            flags, ttl_ms, expires_at, payload, options)
        SELECT no, id, queue, lane, prio, due, o_now, attempts, max_crashes, flags, ttl,
            o_now + ttl, payload, options
        FROM x ORDER BY id COLLATE "C", no
        ON CONFLICT (id) DO NOTHING
        RETURNING no, queue, lane, prio, due, flags
    ), r AS (
        INSERT INTO {ns}_ready (queue, prio, due, no, lane, failures, crashes, flags)
        SELECT queue, prio, CASE WHEN flags & 4 <> 0 THEN -due ELSE due END,
            CASE WHEN flags & 4 <> 0 THEN -no ELSE no END, lane, 0, 0, flags
        FROM j WHERE due <= o_now
    ), d AS (
        INSERT INTO {ns}_delayed (queue, due, no, lane, prio, failures, crashes, flags)
        SELECT queue, due, no, lane, prio, 0, 0, flags FROM j WHERE due > o_now
    )
    SELECT (SELECT array_agg(no) FROM j),
        (SELECT array_agg(ROW(g.queue, NULL, g.target, 0, g.n, 0, false)::{ns}_move) FROM (
            SELECT queue, CASE WHEN due > o_now THEN 1 ELSE 0 END AS target, count(*) AS n
            FROM j GROUP BY 1, 2) g)
    INTO v_made, v_moves;
    v_made := coalesce(v_made, '{}');
    IF p_ttls IS NOT NULL THEN
        INSERT INTO {ns}_expiry (at, no) SELECT o_now + ttl, no
        FROM unnest(v_nos, p_ttls) AS x(no, ttl) WHERE ttl IS NOT NULL AND no = ANY (v_made);
    END IF;
    IF p_keeps IS NOT NULL THEN
        INSERT INTO {ns}_keep SELECT v_nos[at], kc, ka, fc, fa
        FROM unnest(p_keeps, p_keep_counts, p_keep_ages, p_fail_counts, p_fail_ages)
            AS x(at, kc, ka, fc, fa)
        WHERE v_nos[at] = ANY (v_made);
    END IF;
    IF o_listening THEN
        SELECT coalesce(array_agg(ROW('added', p_queues[place], id, p_names[place], NULL, NULL,
            NULL, NULL)::{ns}_told ORDER BY no), '{}') INTO v_told
        FROM unnest(v_nos, p_ids, p_lanes) AS x(no, id, place) WHERE no = ANY (v_made);
        IF p_key IS NOT NULL THEN
            v_told := v_told || ARRAY(SELECT ROW('scheduled', t.queue, t.job_id, t.name, NULL,
                NULL, NULL, NULL)::{ns}_told FROM unnest(v_told) t);
        END IF;
    END IF;
    PERFORM {ns}_book(o_now, o_listening, v_moves, v_told);
    IF cardinality(v_made) < v_n THEN
        PERFORM {ns}_disown(v_new, v_made);
        SELECT array_agg(x.no = ANY (v_made) ORDER BY x.at), array_agg(s.state ORDER BY x.at)
        INTO o_fresh, o_states
        FROM unnest(v_nos, p_ids) WITH ORDINALITY AS x(no, id, at)
        LEFT JOIN {ns}_job j ON j.id = x.id LEFT JOIN {ns}_standing s ON s.no = j.no;
        IF array_position(o_states, NULL) IS NOT NULL THEN
            -- It was there and is gone: the step is begun again.
            RAISE EXCEPTION 'a job was removed meanwhile' USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;
END $$;
