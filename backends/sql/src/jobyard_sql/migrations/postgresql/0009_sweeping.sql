-- Removing many jobs, in bounded steps.

-- Remove those of some jobs that are in given states, leaving no trace; `p_kind` is the event.
CREATE FUNCTION {ns}_remove(
    p_nos BIGINT[], p_states INTEGER[], p_now BIGINT, p_kind TEXT, p_listening BOOLEAN,
    OUT o_removed INTEGER, OUT o_moves {ns}_move[], OUT o_told {ns}_told[]
) LANGUAGE plpgsql AS $$
DECLARE
    v_nos BIGINT[];
    v_tied BIGINT[];
    v_tally INTEGER := CASE WHEN p_kind = 'removed' THEN 7 END;
    n {ns}_news := {ns}_no_news();
    s {ns}_standing;
BEGIN
    o_told := '{}';
    IF p_kind = 'deleted' THEN
        PERFORM 1 FROM {ns}_job WHERE no = ANY (p_nos) ORDER BY no FOR UPDATE;
    ELSE
        PERFORM {ns}_lock_jobs(p_nos);
        PERFORM {ns}_lock_states(p_nos);
    END IF;
    WITH v AS MATERIALIZED (
        SELECT j.no, j.queue, j.prio, CASE WHEN j.flags & 4 <> 0 THEN -1 ELSE 1 END AS sign, j.due
        FROM {ns}_job j WHERE j.no = ANY (p_nos)
    ), w AS (
        DELETE FROM {ns}_ready r USING v
        WHERE 0 = ANY (p_states) AND r.queue = ANY (ARRAY[v.queue, -v.queue])
            AND r.prio = v.prio AND r.due = v.sign * v.due AND r.no = v.sign * v.no
        RETURNING v.no, v.queue, 0 AS state, false AS was_due
    ), y AS (
        DELETE FROM {ns}_delayed r USING v
        WHERE 1 = ANY (p_states) AND r.queue = v.queue AND r.due = v.due AND r.no = v.no
        RETURNING v.no, v.queue, 1 AS state, v.due <= p_now AS was_due
    ), b AS (
        DELETE FROM {ns}_blocked r USING v WHERE 2 = ANY (p_states) AND r.no = v.sign * v.no
        RETURNING v.no, v.queue, 2 AS state, false AS was_due
    ), r AS (
        DELETE FROM {ns}_running r USING v WHERE 3 = ANY (p_states) AND r.no = v.no
        RETURNING v.no, v.queue, 3 AS state, false AS was_due, r.lease
    ), h AS (
        UPDATE {ns}_lease l SET held = l.held - g.n
        FROM (SELECT lease, count(*) AS n FROM r GROUP BY lease) g WHERE l.no = g.lease
    ), d AS (
        DELETE FROM {ns}_done r USING v WHERE r.state = ANY (p_states) AND r.no = v.no
        RETURNING v.no, v.queue, r.state::INTEGER AS state, false AS was_due
    ), a AS MATERIALIZED (
        SELECT no, queue, state, was_due FROM w UNION ALL SELECT no, queue, state, was_due FROM y
        UNION ALL SELECT no, queue, state, was_due FROM b
        UNION ALL SELECT no, queue, state, was_due FROM r
        UNION ALL SELECT no, queue, state, was_due FROM d
    )
    SELECT ARRAY(SELECT no FROM a), (SELECT count(*) FROM a), ARRAY(
        SELECT ROW(queue, state, NULL, v_tally, count(*), 0, bool_or(was_due))::{ns}_move
        FROM a GROUP BY queue, state), ARRAY(SELECT no FROM a WHERE state < 4 OR state = 7)
    INTO v_nos, o_removed, o_moves, v_tied;
    IF p_listening THEN
        o_told := ARRAY(
            SELECT ROW(p_kind, q.name, j.id, l.name, NULL, NULL, NULL, NULL)::{ns}_told
            FROM unnest(v_nos) v(no) JOIN {ns}_job j ON j.no = v.no
            JOIN {ns}_queue q ON q.id = j.queue JOIN {ns}_lane l ON l.id = j.lane);
    END IF;
    FOR s.no, s.id, s.flags IN
        SELECT no, id, flags FROM {ns}_job WHERE no = ANY (v_tied) AND flags & 1920 <> 0
        ORDER BY no
    LOOP
        n := {ns}_add_news(n, {ns}_let_go(s, p_now, NULL));
    END LOOP;
    PERFORM {ns}_erase(v_nos);
    IF n.ended <> '{}' THEN
        n := {ns}_resolve(n, p_now);
    END IF;
    o_moves := o_moves || n.moves;
    o_told := o_told || n.told;
END $$;

-- The finished jobs past the general age, or their own age or count: each once, some of them.
CREATE FUNCTION {ns}_outdated(
    p_now BIGINT, p_completed BIGINT, p_others BIGINT, p_most INTEGER
) RETURNS BIGINT[] LANGUAGE plpgsql AS $$
DECLARE
    v_nos BIGINT[] := '{}';
    x RECORD;
BEGIN
    FOR x IN
        SELECT q.id, s.state, CASE WHEN s.state = 4 THEN p_completed ELSE p_others END AS age,
            CASE WHEN s.state = 4 THEN 48 ELSE 8 END AS rule
        FROM {ns}_queue q, unnest('{4,5,6,8}'::INTEGER[]) s(state) ORDER BY q.id, s.state
    LOOP
        EXIT WHEN cardinality(v_nos) >= p_most;
        v_nos := v_nos || ARRAY(
            SELECT d.no FROM {ns}_done d JOIN {ns}_job j ON j.no = d.no
            WHERE d.queue = x.id AND d.state = x.state AND d.finished_at < p_now - x.age
                AND j.flags & x.rule = 0 AND NOT {ns}_is_needed(j.flags, j.id)
            ORDER BY d.finished_at, d.no LIMIT p_most);
    END LOOP;
    IF cardinality(v_nos) < p_most THEN
        v_nos := v_nos || ARRAY(
            SELECT d.no FROM {ns}_done d JOIN {ns}_job j ON j.no = d.no
            WHERE d.purge_at IS NOT NULL AND d.purge_at < p_now
                AND NOT {ns}_is_needed(j.flags, j.id)
            ORDER BY d.purge_at LIMIT p_most);
    END IF;
    FOR x IN
        SELECT DISTINCT queue, state, keep_count FROM {ns}_done WHERE keep_count IS NOT NULL
    LOOP
        EXIT WHEN cardinality(v_nos) >= p_most;
        v_nos := v_nos || ARRAY(
            SELECT d.no FROM {ns}_done d JOIN (
                SELECT finished_at, no FROM {ns}_done
                WHERE queue = x.queue AND state = x.state
                ORDER BY finished_at DESC, no DESC LIMIT 1 OFFSET x.keep_count) f
                ON (d.finished_at, d.no) <= (f.finished_at, f.no)
            JOIN {ns}_job j ON j.no = d.no
            WHERE NOT {ns}_is_needed(j.flags, j.id) AND d.keep_count IS NOT NULL
                AND d.queue = x.queue AND d.state = x.state AND d.keep_count = x.keep_count
            ORDER BY d.finished_at, d.no LIMIT p_most);
    END LOOP;
    RETURN ARRAY(SELECT no FROM unnest(v_nos) WITH ORDINALITY u(no, at)
        GROUP BY no ORDER BY min(at) LIMIT p_most);
END $$;

-- The oldest finished jobs of each queue that has more than so many when some have gone, and some of
-- those only.
CREATE FUNCTION {ns}_beyond(p_count BIGINT, p_gone BIGINT[], p_most INTEGER) RETURNS BIGINT[]
LANGUAGE plpgsql AS $$
DECLARE
    v_nos BIGINT[] := '{}';
    v_beyond BIGINT;
    v_queue INTEGER;
BEGIN
    FOR v_queue, v_beyond IN
        SELECT queue, sum(completed + failed + cancelled + dead) - p_count FROM {ns}_gauge
        GROUP BY queue ORDER BY queue
    LOOP
        EXIT WHEN cardinality(v_nos) >= p_most;
        v_beyond := v_beyond - (SELECT count(*) FROM {ns}_done
            WHERE no = ANY (p_gone) AND queue = v_queue AND state <> 7);
        CONTINUE WHEN v_beyond <= 0;
        v_nos := v_nos || ARRAY(
            SELECT d.no FROM unnest('{4,5,6,8}'::INTEGER[]) s(state) CROSS JOIN LATERAL (
                SELECT e.no, e.finished_at FROM {ns}_done e JOIN {ns}_job j ON j.no = e.no
                WHERE e.queue = v_queue AND e.state = s.state AND e.no <> ALL (p_gone)
                    AND NOT {ns}_is_needed(j.flags, j.id)
                ORDER BY e.finished_at, e.no LIMIT least(v_beyond, p_most)) d
            ORDER BY d.finished_at, d.no LIMIT least(v_beyond, p_most));
    END LOOP;
    RETURN v_nos[:p_most];
END $$;

-- One step of a sweep: 'drain', 'clean', 'obliterate' or 'retain'. Removing -1 jobs says that some
-- are active.
CREATE FUNCTION {ns}_sweep(
    p_now BIGINT, p_fast BOOLEAN, p_kind TEXT, p_queue TEXT, p_yes BOOLEAN, p_states INTEGER[],
    p_age BIGINT, p_other_age BIGINT, p_count BIGINT, p_limit INTEGER,
    OUT o_removed INTEGER, OUT o_more BOOLEAN, OUT o_listening BOOLEAN, OUT o_woken TEXT[]
) LANGUAGE plpgsql
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_now BIGINT := {ns}_begin(p_now, p_fast);
    v_most INTEGER := p_limit + 1;
    v_queue INTEGER;
    v_closing BOOLEAN;
    v_nos BIGINT[] := '{}';
    v_states INTEGER[] := p_states;
    v_kind TEXT := 'removed';
    v_moves {ns}_move[] := '{}';
    v_told {ns}_told[] := '{}';
    v_end RECORD;
    x RECORD;
BEGIN
    o_listening := {ns}_listening(v_now);
    o_removed := 0;
    o_more := false;
    o_woken := '{}';
    IF p_kind = 'obliterate' THEN
        PERFORM {ns}_lock_name(p_queue, true);
    END IF;
    SELECT id, closing INTO v_queue, v_closing FROM {ns}_queue WHERE name = p_queue;
    IF p_queue IS NOT NULL AND v_queue IS NULL THEN
        RETURN;
    END IF;
    IF p_kind = 'obliterate' AND NOT p_yes AND NOT v_closing
            AND EXISTS (SELECT 1 FROM {ns}_running WHERE queue = v_queue) THEN
        o_removed := -1;
        RETURN;
    END IF;
    CASE p_kind
        WHEN 'drain', 'obliterate' THEN
            v_states := CASE WHEN p_kind = 'obliterate' THEN '{0,1,2,3,4,5,6,7,8}'
                WHEN p_yes THEN '{0,1,2}' ELSE '{0,2}' END::INTEGER[];
            v_nos := ARRAY(
                SELECT abs(no) FROM {ns}_ready WHERE queue = ANY (ARRAY[v_queue, -v_queue])
                LIMIT v_most) || ARRAY(
                SELECT abs(b.no) FROM (
                    SELECT -v_queue::BIGINT AS line
                    UNION ALL SELECT id FROM {ns}_gate WHERE queue = v_queue) l
                JOIN {ns}_blocked b ON b.line = l.line LIMIT v_most);
            IF 1 = ANY (v_states) THEN
                v_nos := v_nos || ARRAY(
                    SELECT no FROM {ns}_delayed WHERE queue = v_queue LIMIT v_most);
            END IF;
            IF p_kind = 'obliterate' THEN
                v_nos := v_nos || ARRAY(
                    SELECT no FROM {ns}_running WHERE queue = v_queue LIMIT v_most) || ARRAY(
                    SELECT no FROM {ns}_done WHERE queue = v_queue LIMIT v_most);
            END IF;
        WHEN 'clean' THEN
            FOR x IN
                SELECT q.id, s.state FROM {ns}_queue q, unnest(p_states) s(state)
                WHERE v_queue IS NULL OR q.id = v_queue ORDER BY q.name, s.state
            LOOP
                EXIT WHEN cardinality(v_nos) >= v_most;
                v_nos := v_nos || ARRAY(
                    SELECT no FROM {ns}_done WHERE queue = x.id AND state = x.state
                        AND finished_at < v_now - p_age
                    ORDER BY finished_at, no LIMIT v_most);
            END LOOP;
        ELSE
            v_kind := 'deleted';
            v_states := '{4,5,6,7,8}';
            v_nos := {ns}_outdated(v_now, p_age, p_other_age, v_most);
            IF cardinality(v_nos) <= p_limit THEN
                v_nos := v_nos || {ns}_beyond(p_count, v_nos, v_most - cardinality(v_nos));
            END IF;
    END CASE;
    o_more := cardinality(v_nos) > p_limit;
    v_end := {ns}_remove(v_nos[:p_limit], v_states, v_now, v_kind, o_listening);
    o_removed := v_end.o_removed;
    o_woken := {ns}_woken(v_end.o_moves);
    IF p_kind = 'obliterate' THEN
        PERFORM 1 FROM {ns}_limiter WHERE queue = v_queue ORDER BY name FOR UPDATE;
        PERFORM 1 FROM {ns}_gauge WHERE queue = v_queue ORDER BY shard FOR UPDATE;
    END IF;
    PERFORM {ns}_book(v_now, o_listening, v_end.o_moves, v_end.o_told);
    IF p_kind = 'retain' THEN
        PERFORM {ns}_drop_spent(v_now, p_limit);
    ELSIF p_kind = 'obliterate' AND o_more THEN
        UPDATE {ns}_queue SET closing = true WHERE id = v_queue;
    ELSIF p_kind = 'obliterate' THEN
        DELETE FROM {ns}_dedup WHERE queue = v_queue;
        DELETE FROM {ns}_limiter WHERE queue = v_queue;
        DELETE FROM {ns}_start WHERE queue = v_queue;
        PERFORM {ns}_drop_gates(ARRAY(SELECT id FROM {ns}_gate WHERE queue = v_queue), NULL);
        DELETE FROM {ns}_lane WHERE queue = v_queue;
        DELETE FROM {ns}_gauge WHERE queue = v_queue;
        DELETE FROM {ns}_tally WHERE queue = v_queue;
        DELETE FROM {ns}_queue WHERE id = v_queue;
    END IF;
END $$;
