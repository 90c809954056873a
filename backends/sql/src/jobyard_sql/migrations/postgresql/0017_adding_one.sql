-- Store one job that is tied to no other, keeps no rule and has no time to live: what a web request
-- does. The same as {ns}_add in half of the statements, without arrays; what is not everyday, a
-- queue or a lane that is new or an id that is not, is left to that.
CREATE FUNCTION {ns}_add_one(
    p_now BIGINT, p_fast BOOLEAN, p_queue TEXT, p_channel TEXT, p_name TEXT, p_id TEXT,
    p_prio INTEGER, p_delay BIGINT, p_run_at BIGINT, p_attempts INTEGER, p_crashes INTEGER,
    p_flags INTEGER, p_payload BYTEA, p_options BYTEA,
    OUT o_now BIGINT, OUT o_fired BOOLEAN, OUT o_listening BOOLEAN, OUT o_fresh BOOLEAN[],
    OUT o_states INTEGER[]
) LANGUAGE plpgsql
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_queue INTEGER;
    v_lane INTEGER;
    v_no BIGINT;
    v_due BIGINT;
    v_told {ns}_told[];
BEGIN
    PERFORM {ns}_lock_name(p_queue, false);
    SELECT q.id, l.id INTO v_queue, v_lane FROM {ns}_queue q
    JOIN {ns}_lane l ON l.queue = q.id AND l.channel = p_channel AND l.name = p_name
    WHERE q.name = p_queue;
    IF FOUND THEN
        o_now := {ns}_begin(p_now, p_fast);
        v_due := greatest(o_now, coalesce(p_run_at, o_now + p_delay));
        INSERT INTO {ns}_job (no, id, queue, lane, prio, due, created_at, attempts, max_crashes,
            flags, payload, options)
        VALUES (nextval('{ns}_job_no'), p_id, v_queue, v_lane, p_prio, v_due, o_now, p_attempts,
            p_crashes, p_flags, p_payload, p_options)
        ON CONFLICT (id) DO NOTHING
        RETURNING no INTO v_no;
    END IF;
    IF v_no IS NULL THEN
        SELECT a.o_now, a.o_fired, a.o_listening, a.o_fresh, a.o_states
        INTO o_now, o_fired, o_listening, o_fresh, o_states
        FROM {ns}_add(p_now, p_fast, NULL, NULL, NULL, ARRAY[p_queue], ARRAY[p_channel],
            ARRAY[p_name], ARRAY[p_id], '{1}', ARRAY[p_prio], ARRAY[p_delay], ARRAY[p_run_at], NULL,
            ARRAY[p_attempts], ARRAY[p_crashes], ARRAY[p_flags], ARRAY[p_payload],
            ARRAY[p_options], NULL, NULL, NULL, NULL, NULL) a;
        RETURN;
    END IF;
    o_fired := true;
    o_listening := {ns}_listening(o_now);
    IF v_due > o_now THEN
        INSERT INTO {ns}_delayed (queue, due, no, lane, prio, failures, crashes, flags)
        VALUES (v_queue, v_due, v_no, v_lane, p_prio, 0, 0, p_flags);
        v_told := {ns}_count(v_queue, o_now, o_listening, '{0,1,0,0,0,0,0,0,0}',
            '{1,0,0,0,0,0,0,0,0}', false);
    ELSE
        INSERT INTO {ns}_ready (queue, prio, due, no, lane, failures, crashes, flags)
        VALUES (v_queue, p_prio, CASE WHEN p_flags & 4 <> 0 THEN -v_due ELSE v_due END,
            CASE WHEN p_flags & 4 <> 0 THEN -v_no ELSE v_no END, v_lane, 0, 0, p_flags);
        v_told := {ns}_count(v_queue, o_now, o_listening, '{1,0,0,0,0,0,0,0,0}',
            '{1,0,0,0,0,0,0,0,0}', false);
    END IF;
    IF o_listening THEN
        PERFORM {ns}_tell(o_now, ROW('added', p_queue, p_id, p_name, NULL, NULL, NULL,
            NULL)::{ns}_told || v_told);
    END IF;
END $$;
