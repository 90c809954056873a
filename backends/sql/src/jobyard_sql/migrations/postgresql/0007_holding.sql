-- What a holder does to its leases while the run goes on; and what happens when it does not.

-- How leases stand: 0 held, 1 lost, 2 cancelled. Their rows are locked until the step is over.
CREATE FUNCTION {ns}_holds(
    p_fences BIGINT[], p_tokens TEXT[], p_nos BIGINT[], p_of INTEGER[]
) RETURNS INTEGER[] LANGUAGE plpgsql AS $$
DECLARE
    v_held BIGINT[] := {ns}_lock_leases(p_fences, p_tokens);
BEGIN
    RETURN ARRAY(
        SELECT CASE WHEN r.no IS NULL THEN 1 WHEN r.flags & 1 <> 0 THEN 2 ELSE 0 END
        FROM unnest(p_nos, p_of) WITH ORDINALITY u(no, place, at)
        LEFT JOIN {ns}_running r ON r.no = u.no AND r.lease = v_held[u.place]
        ORDER BY u.at);
END $$;

CREATE FUNCTION {ns}_extend(
    p_now BIGINT, p_fast BOOLEAN, p_fences BIGINT[], p_tokens TEXT[], p_nos BIGINT[],
    p_of INTEGER[], p_ttl BIGINT
) RETURNS INTEGER[] LANGUAGE plpgsql
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_until BIGINT := {ns}_begin(p_now, p_fast) + p_ttl;
    v_holds INTEGER[] := {ns}_holds(p_fences, p_tokens, p_nos, p_of);
    x RECORD;
BEGIN
    FOR x IN
        SELECT p_fences[u.place] AS fence, array_agg(DISTINCT u.no) AS nos
        FROM unnest(p_nos, p_of, v_holds) u(no, place, hold) WHERE u.hold <> 1
        GROUP BY 1 ORDER BY 1
    LOOP
        -- A lease whose jobs are all listed is extended as one row.
        UPDATE {ns}_lease SET until = greatest(until, v_until)
        WHERE no = x.fence AND held = cardinality(x.nos);
        IF NOT FOUND THEN
            UPDATE {ns}_running SET until = greatest(coalesce(until, 0), v_until)
            WHERE no = ANY (x.nos);
        END IF;
    END LOOP;
    RETURN v_holds;
END $$;

-- Write progress (where `p_keeps` is null) and lines of logs.
CREATE FUNCTION {ns}_report(
    p_now BIGINT, p_fast BOOLEAN, p_fences BIGINT[], p_tokens TEXT[], p_nos BIGINT[],
    p_of INTEGER[], p_keeps BIGINT[], p_bodies BYTEA[],
    OUT o_holds INTEGER[], OUT o_listening BOOLEAN
) LANGUAGE plpgsql
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_now BIGINT := {ns}_begin(p_now, p_fast);
    v_told {ns}_told[] := '{}';
    v_n BIGINT;
    x RECORD;
BEGIN
    o_listening := {ns}_listening(v_now);
    o_holds := {ns}_holds(p_fences, p_tokens, p_nos, p_of);
    FOR x IN
        SELECT u.* FROM unnest(p_nos, p_keeps, p_bodies, o_holds)
            WITH ORDINALITY u(no, keep, body, hold, at)
        WHERE u.hold <> 1 ORDER BY u.at
    LOOP
        IF x.keep IS NULL THEN
            INSERT INTO {ns}_progress (no, body) VALUES (x.no, x.body)
            ON CONFLICT (no) DO UPDATE SET body = excluded.body;
            IF o_listening THEN
                v_told := v_told || (
                    SELECT ROW('progress', s.queue_name, s.id, s.name, s.worker, s.failures + 1,
                        NULL, x.body)::{ns}_told
                    FROM {ns}_standing s WHERE s.no = x.no);
            END IF;
        ELSE
            SELECT coalesce(max(n), 0) + 1 INTO v_n FROM {ns}_log WHERE no = x.no;
            INSERT INTO {ns}_log (no, n, line) VALUES (x.no, v_n, x.body);
            IF v_n > x.keep THEN
                DELETE FROM {ns}_log WHERE no = x.no AND n <= v_n - x.keep;
            END IF;
        END IF;
    END LOOP;
    IF cardinality(v_told) > 0 THEN
        PERFORM {ns}_tell(v_now, v_told);
    END IF;
END $$;

-- The jobs whose time to live is over and that have not ended, those first that were to go first.
CREATE FUNCTION {ns}_outlived(p_now BIGINT, p_limit INTEGER) RETURNS BIGINT[]
LANGUAGE plpgsql AS $$
BEGIN
    RETURN ARRAY(
        SELECT e.no FROM {ns}_expiry e
        LEFT JOIN LATERAL (
            SELECT expires_at FROM {ns}_job WHERE no = e.no LIMIT 1) j ON true
        LEFT JOIN LATERAL (SELECT no FROM {ns}_done WHERE no = e.no LIMIT 1) d ON true
        WHERE e.at <= p_now AND j.expires_at = e.at AND d.no IS NULL
        ORDER BY e.at, e.no LIMIT p_limit);
END $$;

-- End jobs past their time to live, and take expired leases back. But for each other, reapers wait
-- for nobody: what is worked on at this moment is left to the next time. But jobs with gates or
-- dependants have to be locked before the first one is moved. A last row without an id tells the
-- queues in which jobs were unblocked.
CREATE FUNCTION {ns}_reap(p_now BIGINT, p_fast BOOLEAN, p_limit INTEGER)
RETURNS TABLE (
    o_id TEXT, o_queue TEXT, o_name TEXT, o_fence BIGINT, o_crashes INTEGER, o_state INTEGER,
    o_reason TEXT, o_worker TEXT, o_listening BOOLEAN, o_woken TEXT[]
) LANGUAGE plpgsql
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_now BIGINT := {ns}_begin(p_now, p_fast);
    v_room INTEGER := 1000;
    v_moves {ns}_move[] := '{}';
    v_told {ns}_told[] := '{}';
    v_found INTEGER := 0;
    v_old BIGINT[];
    v_nos BIGINT[];
    v_tied BIGINT[];
    v_leases BIGINT[];
    v_no BIGINT;
    v_end RECORD;
    n {ns}_news := {ns}_no_news();
    s {ns}_standing;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM {ns}_expiry WHERE at <= v_now)
            AND NOT EXISTS (SELECT 1 FROM {ns}_lease WHERE until <= v_now AND held > 0) THEN
        RETURN;
    END IF;
    -- Reapers go one after another: what one leaves over for its limit, the next one finds.
    PERFORM pg_advisory_xact_lock(('{ns}_expiry'::REGCLASS)::OID::BIGINT::BIT(32)::INTEGER, 0);
    o_listening := {ns}_listening(v_now);
    v_old := {ns}_outlived(v_now, p_limit);
    v_tied := {ns}_lock_tied(v_old || ARRAY(
        SELECT r.no FROM {ns}_running r WHERE r.lease = ANY (ARRAY(
            SELECT l.no FROM {ns}_lease l WHERE l.until <= v_now AND l.held > 0
            ORDER BY l.until, l.no LIMIT p_limit))
        ORDER BY r.lease, r.no LIMIT p_limit));
    v_nos := ARRAY(
        SELECT no FROM {ns}_job
        WHERE no = ANY (v_old) AND (flags & 1408 = 0 OR no = ANY (v_tied))
        ORDER BY no FOR UPDATE SKIP LOCKED);
    FOREACH v_no IN ARRAY {ns}_free_states(v_nos) LOOP
        s := {ns}_hold(v_no);
        CONTINUE WHEN s.expires_at IS NULL OR s.expires_at > v_now OR s.state > 3;
        v_end := {ns}_reap_one(s, v_now, true, v_room);
        n := {ns}_add_news(n, v_end.o_news);
        v_room := v_room - v_end.o_removed;
        v_moves := v_moves || v_end.o_moves;
        v_told := v_told || v_end.o_told;
        SELECT s.id, s.queue_name, s.name, s.fence, v_end.o_crashes, v_end.o_state,
            v_end.o_reason, CASE WHEN s.state = 3 THEN s.worker END
        INTO o_id, o_queue, o_name, o_fence, o_crashes, o_state, o_reason, o_worker;
        RETURN NEXT;
        v_found := v_found + 1;
    END LOOP;
    v_leases := ARRAY(
        SELECT no FROM {ns}_lease WHERE until <= v_now AND held > 0 ORDER BY until, no
        LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED);
    IF v_found < p_limit AND cardinality(v_leases) > 0 THEN
        v_nos := ARRAY(
            SELECT j.no FROM {ns}_job j WHERE j.no = ANY (ARRAY(
                SELECT r.no FROM {ns}_running r WHERE r.lease = ANY (v_leases)
                    AND coalesce(r.until, 0) <= v_now
                ORDER BY r.lease, r.no LIMIT p_limit - v_found))
                AND (j.flags & 1408 = 0 OR j.no = ANY (v_tied))
            ORDER BY j.no FOR UPDATE SKIP LOCKED);
        FOREACH v_no IN ARRAY v_nos LOOP
            s := {ns}_hold(v_no);
            CONTINUE WHEN s.state <> 3 OR s.fence <> ALL (v_leases);
            v_end := {ns}_reap_one(s, v_now, false, v_room);
            n := {ns}_add_news(n, v_end.o_news);
            v_room := v_room - v_end.o_removed;
            v_moves := v_moves || v_end.o_moves;
            v_told := v_told || v_end.o_told;
            SELECT s.id, s.queue_name, s.name, s.fence, v_end.o_crashes, v_end.o_state,
                v_end.o_reason, s.worker
            INTO o_id, o_queue, o_name, o_fence, o_crashes, o_state, o_reason, o_worker;
            RETURN NEXT;
        END LOOP;
    END IF;
    IF n.ended <> '{}' THEN
        n := {ns}_resolve(n, v_now);
    END IF;
    PERFORM {ns}_book(v_now, o_listening, v_moves || n.moves, v_told || n.told);
    -- What has ended in time, or got more of it, left its entry here.
    DELETE FROM {ns}_expiry WHERE ctid = ANY (ARRAY(
        SELECT e.ctid FROM {ns}_expiry e
        LEFT JOIN LATERAL (
            SELECT expires_at FROM {ns}_job WHERE no = e.no LIMIT 1) j ON true
        LEFT JOIN LATERAL (SELECT no FROM {ns}_done WHERE no = e.no LIMIT 1) d ON true
        WHERE e.at <= v_now AND (j.expires_at IS DISTINCT FROM e.at OR d.no IS NOT NULL)
        FOR UPDATE OF e SKIP LOCKED));
    o_woken := {ns}_woken(n.moves);
    IF cardinality(o_woken) > 0 THEN
        o_id := NULL;
        RETURN NEXT;
    END IF;
END $$;

-- Move one held job on: past its time to live, or its lease has expired.
CREATE FUNCTION {ns}_reap_one(
    s {ns}_standing, p_now BIGINT, p_outlived BOOLEAN, p_room INTEGER,
    OUT o_state INTEGER, OUT o_crashes INTEGER, OUT o_reason TEXT, OUT o_removed INTEGER,
    OUT o_moves {ns}_move[], OUT o_told {ns}_told[], OUT o_news {ns}_news
) LANGUAGE plpgsql AS $$
DECLARE
    v_kept BOOLEAN;
    v_end RECORD;
    v_failed INTEGER := CASE WHEN s.flags & 2 <> 0 THEN 8 ELSE 5 END;
BEGIN
    o_crashes := s.crashes;
    o_removed := 0;
    o_moves := '{}';
    o_told := '{}';
    IF p_outlived THEN
        o_state := v_failed;
        o_reason := 'expired';
    ELSE
        o_crashes := s.crashes + 1;
        o_moves := ARRAY[ROW(s.queue, NULL, NULL, 6, 1, 0, false)::{ns}_move];
        o_told := ARRAY[ROW('stalled', s.queue_name, s.id, s.name, s.worker, s.failures + 1,
            NULL, NULL)::{ns}_told];
        IF s.flags & 1 <> 0 THEN
            o_state := 6;
        ELSIF o_crashes >= s.max_crashes THEN
            o_state := v_failed;
            o_reason := 'crash_loop';
        ELSE
            o_state := 0;
        END IF;
    END IF;
    PERFORM {ns}_leave(s);
    IF o_state = 0 THEN
        PERFORM {ns}_remember(s, false, s.error);
        o_state := {ns}_enqueue(s, p_now, 0, s.due, s.prio, s.failures, o_crashes);
        o_moves := o_moves || ROW(s.queue, 3, o_state, NULL, 1, 0, false)::{ns}_move;
        RETURN;
    END IF;
    v_end := {ns}_finish(s, p_now, o_state, s.failures, o_crashes, false, o_reason, NULL, s.error,
        p_room);
    v_kept := v_end.o_kept;
    o_removed := v_end.o_removed;
    o_news := v_end.o_news;
    o_moves := o_moves || ARRAY[
        ROW(s.queue, s.state, CASE WHEN v_kept THEN o_state END, {ns}_tally_of(o_state), 1, 0,
            s.state = 1 AND s.due <= p_now)::{ns}_move,
        ROW(s.queue, o_state, NULL, NULL, o_removed, 0, false)::{ns}_move];
    o_told := o_told || ROW(CASE WHEN o_state = 6 THEN 'cancelled' ELSE 'failed' END,
        s.queue_name, s.id, s.name, CASE WHEN s.state = 3 THEN s.worker END,
        CASE WHEN s.state = 3 THEN s.failures + 1 END, NULL, NULL)::{ns}_told;
END $$;
