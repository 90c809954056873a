-- Schedules, workers, subscriptions.
CREATE FUNCTION {ns}_put_schedules(
    p_fast BOOLEAN, p_keys TEXT[], p_definitions BYTEA[], p_nexts BIGINT[], p_paused BOOLEAN[],
    p_fired BIGINT[], p_lasts BIGINT[]
) RETURNS VOID LANGUAGE plpgsql
SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM {ns}_begin(NULL, p_fast);
    INSERT INTO {ns}_schedule (key, definition, next_at, paused, fired, last_at)
    SELECT DISTINCT ON (u.key) u.key, u.definition, u.next_at, u.paused, u.fired, u.last_at
    FROM unnest(p_keys, p_definitions, p_nexts, p_paused, p_fired, p_lasts) WITH ORDINALITY
        u(key, definition, next_at, paused, fired, last_at, at)
    ORDER BY u.key, u.at DESC
    ON CONFLICT (key) DO UPDATE SET definition = excluded.definition,
        next_at = excluded.next_at, paused = excluded.paused, fired = excluded.fired,
        last_at = excluded.last_at;
END $$;

-- Put a schedule in the place of the one given; a definition of null stands for no schedule.
CREATE FUNCTION {ns}_swap_schedule(
    p_fast BOOLEAN, p_key TEXT,
    p_definition BYTEA, p_next BIGINT, p_paused BOOLEAN, p_fired BIGINT, p_last BIGINT,
    p_new_definition BYTEA, p_new_next BIGINT, p_new_paused BOOLEAN, p_new_fired BIGINT,
    p_new_last BIGINT
) RETURNS BOOLEAN LANGUAGE plpgsql
SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM {ns}_begin(NULL, p_fast);
    IF p_definition IS NULL AND p_new_definition IS NULL THEN
        RETURN NOT EXISTS (SELECT FROM {ns}_schedule WHERE key = p_key);
    ELSIF p_definition IS NULL THEN
        INSERT INTO {ns}_schedule (key, definition, next_at, paused, fired, last_at)
        VALUES (p_key, p_new_definition, p_new_next, p_new_paused, p_new_fired, p_new_last)
        ON CONFLICT (key) DO NOTHING;
    ELSIF p_new_definition IS NULL THEN
        DELETE FROM {ns}_schedule WHERE key = p_key AND definition = p_definition
            AND next_at IS NOT DISTINCT FROM p_next AND paused = p_paused AND fired = p_fired
            AND last_at IS NOT DISTINCT FROM p_last;
    ELSE
        UPDATE {ns}_schedule SET definition = p_new_definition, next_at = p_new_next,
            paused = p_new_paused, fired = p_new_fired, last_at = p_new_last
        WHERE key = p_key AND definition = p_definition
            AND next_at IS NOT DISTINCT FROM p_next AND paused = p_paused AND fired = p_fired
            AND last_at IS NOT DISTINCT FROM p_last;
    END IF;
    RETURN FOUND;
END $$;

CREATE FUNCTION {ns}_drop_schedules(p_fast BOOLEAN, p_keys TEXT[]) RETURNS INTEGER
LANGUAGE plpgsql
SET search_path FROM CURRENT AS $$
DECLARE
    v_n INTEGER;
BEGIN
    PERFORM {ns}_begin(NULL, p_fast);
    DELETE FROM {ns}_schedule WHERE key = ANY (p_keys);
    GET DIAGNOSTICS v_n = ROW_COUNT;
    RETURN v_n;
END $$;

CREATE FUNCTION {ns}_beat(
    p_now BIGINT, p_fast BOOLEAN, p_id TEXT, p_state TEXT, p_ttl BIGINT, p_body BYTEA
) RETURNS BOOLEAN LANGUAGE plpgsql
SET search_path FROM CURRENT AS $$
DECLARE
    v_now BIGINT := {ns}_begin(p_now, p_fast);
    v_listening BOOLEAN := {ns}_listening(v_now);
    v_known TEXT;
    v_kinds TEXT[] := '{}';
BEGIN
    DELETE FROM {ns}_worker WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {ns}_worker WHERE until <= v_now FOR UPDATE SKIP LOCKED));
    SELECT state INTO v_known FROM {ns}_worker WHERE id = p_id AND until > v_now FOR UPDATE;
    IF p_state = 'stopped' THEN
        IF FOUND THEN
            v_kinds := '{worker_stopped}';
        END IF;
        DELETE FROM {ns}_worker WHERE id = p_id;
    ELSE
        IF NOT FOUND THEN
            v_kinds := '{worker_started}';
        END IF;
        IF p_state = 'stopping' AND v_known IS DISTINCT FROM p_state THEN
            v_kinds := v_kinds || 'worker_stopping'::TEXT;
        ELSIF cardinality(v_kinds) = 0 THEN
            v_kinds := '{heartbeat}';
        END IF;
        INSERT INTO {ns}_worker AS w (id, body, state, started_at, seen_at, until)
        VALUES (p_id, p_body, p_state, v_now, v_now, v_now + p_ttl)
        ON CONFLICT (id) DO UPDATE SET body = excluded.body, state = excluded.state,
            started_at = CASE WHEN w.until > v_now THEN w.started_at ELSE v_now END,
            seen_at = v_now, until = excluded.until;
    END IF;
    IF v_listening AND cardinality(v_kinds) > 0 THEN
        PERFORM {ns}_tell(v_now, ARRAY(
            SELECT ROW(k, '', NULL, NULL, p_id, NULL, NULL, NULL)::{ns}_told
            FROM unnest(v_kinds) k));
    END IF;
    RETURN v_listening;
END $$;

-- Begin, prolong or end a subscription; tell the cursor after the latest event: every step begun
-- after this gets a greater key. Where nobody was subscribed the log begins anew after a number
-- that no event has, so that each cursor from before comes before its beginning.
CREATE FUNCTION {ns}_subscribe(
    p_now BIGINT, p_fast BOOLEAN, p_id TEXT, p_ttl BIGINT, OUT o_key BIGINT, OUT o_id BIGINT
) LANGUAGE plpgsql
SET search_path FROM CURRENT AS $$
DECLARE
    v_now BIGINT := {ns}_begin(p_now, p_fast);
    v_listened BOOLEAN;
BEGIN
    PERFORM 1 FROM {ns}_counter WHERE id = 1 FOR UPDATE;
    v_listened := {ns}_listening(v_now);
    DELETE FROM {ns}_subscription WHERE id = p_id OR until <= v_now;
    IF p_ttl > 0 THEN
        INSERT INTO {ns}_subscription VALUES (p_id, v_now + p_ttl);
    END IF;
    UPDATE {ns}_counter SET listeners_until =
        (SELECT coalesce(max(until), 0) FROM {ns}_subscription)
    WHERE id = 1;
    o_key := pg_snapshot_xmax(pg_current_snapshot())::TEXT::BIGINT - 1;
    IF p_ttl > 0 AND NOT v_listened THEN
        o_id := nextval('{ns}_event_id_seq');
        UPDATE {ns}_counter SET trimmed_key = o_key, trimmed_id = o_id WHERE id = 1;
    ELSE
        SELECT last_value INTO o_id FROM {ns}_event_id_seq;
    END IF;
END $$;

-- Events after a cursor whose order is settled: no step that is still open can come before them.
-- Where the log begins after the cursor and has none, a row of its beginning alone (no kind).
CREATE FUNCTION {ns}_events(p_key BIGINT, p_id BIGINT, p_limit INTEGER)
RETURNS TABLE (
    o_key BIGINT, o_id BIGINT, o_at BIGINT, o_kind TEXT, o_queue TEXT, o_job_id TEXT,
    o_name TEXT, o_worker TEXT, o_attempt INTEGER, o_ran_ms BIGINT, o_data BYTEA, o_gap BOOLEAN
) LANGUAGE plpgsql
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_sort = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_key BIGINT;
    v_id BIGINT;
    v_gap BOOLEAN;
BEGIN
    SELECT trimmed_key, trimmed_id INTO v_key, v_id FROM {ns}_counter WHERE id = 1;
    v_gap := (v_key, v_id) > (p_key, p_id);
    IF NOT v_gap THEN
        v_key := p_key;
        v_id := p_id;
    END IF;
    RETURN QUERY
    SELECT key, id, at, kind, queue, job_id, name, worker, attempt, ran_ms, data, v_gap
    FROM {ns}_event
    WHERE (key, id) > (v_key, v_id)
        AND key < pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT
    ORDER BY key, id LIMIT p_limit;
    IF v_gap AND NOT FOUND THEN
        RETURN QUERY SELECT v_key, v_id, NULL::BIGINT, NULL, NULL, NULL, NULL, NULL, NULL::INTEGER,
            NULL::BIGINT, NULL::BYTEA, v_gap;
    END IF;
END $$;
