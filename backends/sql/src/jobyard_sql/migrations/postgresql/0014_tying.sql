-- Add jobs that are tied to others: by a gate, a dedup key, or parents.

-- Lock dedup keys, by queue and key, until the step is over. One that nobody holds is held by no
-- job (0) meanwhile. Whoever adds a job with a key locks it before anything else but the queue.
CREATE FUNCTION {ns}_lock_keys(p_queues INTEGER[], p_keys TEXT[]) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    -- What is not to be changed is locked all the same.
    INSERT INTO {ns}_dedup AS d (queue, key, no, job_id)
    SELECT DISTINCT u.queue, u.key COLLATE "C", 0, '' FROM unnest(p_queues, p_keys) u(queue, key)
    WHERE u.key IS NOT NULL ORDER BY 1, 2
    ON CONFLICT (queue, key) DO UPDATE SET no = d.no WHERE false;
END $$;

-- Give a pending job, which is held, what another one would have brought, due anew (DEDUP-4).
CREATE FUNCTION {ns}_replace(
    n {ns}_news, s {ns}_standing, p_now BIGINT, p_due BIGINT, p_prio INTEGER, p_payload BYTEA,
    p_options BYTEA
) RETURNS {ns}_news LANGUAGE plpgsql AS $$
DECLARE
    v_state INTEGER := CASE WHEN p_due > p_now THEN 1 ELSE 0 END;
BEGIN
    IF s.state = 2 AND s.line < 0 THEN
        v_state := 2; -- it waits for its parents as before
    END IF;
    UPDATE {ns}_job SET payload = p_payload, options = p_options WHERE no = s.no;
    PERFORM {ns}_leave(s);
    n.moves := n.moves || ROW(s.queue, s.state, {ns}_enqueue(s, p_now, v_state, p_due, p_prio,
        s.failures, s.crashes), NULL, 1, 0, false)::{ns}_move;
    RETURN n;
END $$;

-- Answer for a job whose dedup key is locked: with its holder, unless the key is free or is to be
-- taken over. Modes: 0 ignore, 1 extend, 2 replace.
CREATE FUNCTION {ns}_meet_holder(
    n {ns}_news, p_now BIGINT, p_queue INTEGER, p_key TEXT, p_mode INTEGER, p_ttl BIGINT,
    p_due BIGINT, p_prio INTEGER, p_payload BYTEA, p_options BYTEA,
    OUT o_news {ns}_news, OUT o_id TEXT, OUT o_no BIGINT, OUT o_state INTEGER
) LANGUAGE plpgsql AS $$
DECLARE
    d {ns}_dedup;
    s {ns}_standing;
BEGIN
    o_news := n;
    SELECT * INTO d FROM {ns}_dedup WHERE queue = p_queue AND key = p_key;
    IF d.no = 0 OR d.until <= p_now THEN
        RETURN;
    END IF;
    IF p_mode = 2 THEN
        s := {ns}_hold(d.no);
    ELSE
        SELECT * INTO s FROM {ns}_standing WHERE no = d.no;
    END IF;
    IF d.until IS NULL AND (s.no IS NULL OR s.state > 3) THEN
        RETURN;
    END IF;
    IF p_mode = 2 THEN
        IF s.no IS NULL OR s.state > 2 THEN
            RETURN;
        END IF;
        o_news := {ns}_replace(o_news, s, p_now, p_due, p_prio, p_payload, p_options);
        SELECT x.state INTO s.state FROM {ns}_standing x WHERE x.no = s.no;
    END IF;
    IF p_mode > 0 AND p_ttl IS NOT NULL THEN
        UPDATE {ns}_dedup SET until = p_now + p_ttl WHERE queue = p_queue AND key = p_key;
    END IF;
    o_id := d.job_id;
    o_no := d.no;
    o_state := s.state;
    o_news.told := o_news.told || ROW('deduplicated',
        (SELECT name FROM {ns}_queue WHERE id = p_queue), d.job_id, coalesce(s.name, ''), NULL,
        NULL, NULL, NULL)::{ns}_told;
END $$;

-- Let a new job wait for its parents, or go where they lead if all have ended. Tells its state.
CREATE FUNCTION {ns}_follow_parents(
    n {ns}_news, p_no BIGINT, p_now BIGINT, OUT o_news {ns}_news, OUT o_state INTEGER
) LANGUAGE plpgsql AS $$
DECLARE
    c {ns}_standing;
    s {ns}_standing;
    v_waits BOOLEAN := false;
    v_fails BOOLEAN := false;
    p RECORD;
BEGIN
    o_news := n;
    SELECT * INTO c FROM {ns}_standing WHERE no = p_no;
    FOR p IN
        SELECT d.at, d.ignored, j.no FROM {ns}_dep d JOIN {ns}_job j ON j.id = d.parent
        WHERE d.child = p_no ORDER BY d.at
    LOOP
        s := {ns}_hold(p.no);
        PERFORM {ns}_make_parent(s);
        UPDATE {ns}_dep SET attached = true, waits = s.state < 4 OR s.state = 7
        WHERE child = p_no AND at = p.at;
        IF s.state < 4 OR s.state = 7 THEN
            v_waits := true;
        ELSIF s.state <> 4 AND NOT p.ignored THEN
            v_fails := true;
        END IF;
    END LOOP;
    IF v_fails THEN
        o_news := {ns}_fail_child(o_news, c, p_now, NULL, 1000);
        o_state := CASE WHEN c.flags & 2 <> 0 THEN 8 ELSE 5 END;
        RETURN;
    END IF;
    c.line := -c.queue;
    o_state := {ns}_enqueue(c, p_now,
        CASE WHEN v_waits THEN 2 WHEN c.due > p_now THEN 1 ELSE 0 END, c.due, c.prio, 0, 0);
    o_news.moves := o_news.moves || ROW(c.queue, NULL, o_state, NULL, 1, 0, false)::{ns}_move;
END $$;

-- Whether jobs without rates and parents can be placed all at once: no job may change what the next
-- one of its key or group meets but in the way that {ns}_place_all knows.
CREATE FUNCTION {ns}_are_apart(
    p_ids TEXT[], p_queues INTEGER[], p_groups TEXT[], p_places BIGINT[], p_keys TEXT[],
    p_modes INTEGER[]
) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
BEGIN
    RETURN NOT EXISTS (
        SELECT 1 FROM unnest(p_queues, p_groups, p_places) u(queue, key, places)
        WHERE u.key IS NOT NULL
        GROUP BY u.queue, u.key HAVING min(u.places) <> max(u.places)
    ) AND (p_keys IS NULL OR 2 <> ALL (p_modes) AND cardinality(p_ids) = (
        SELECT count(DISTINCT u.id COLLATE "C") FROM unnest(p_ids) u(id)));
END $$;

-- Give locked dedup keys to those of some new jobs that come first and meet no holder. Of the others
-- the answer has the holder. Modes: 0 ignore, 1 extend.
CREATE FUNCTION {ns}_give_keys(
    p_now BIGINT, p_nos BIGINT[], p_ids TEXT[], p_queues INTEGER[], p_fresh BOOLEAN[],
    p_keys TEXT[], p_modes INTEGER[], p_holds BIGINT[],
    OUT o_won BOOLEAN[], OUT o_holders BIGINT[], OUT o_ids TEXT[]
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT array_agg(w.won ORDER BY w.at),
        array_agg(CASE WHEN w.fresh AND NOT w.won THEN w.holder END ORDER BY w.at),
        array_agg(CASE WHEN w.fresh AND NOT w.won THEN w.holder_id ELSE w.id END ORDER BY w.at)
    INTO o_won, o_holders, o_ids
    FROM (
        SELECT k.at, k.id, k.fresh,
            k.fresh AND (k.key IS NULL OR k.free AND row_number() OVER v = 1) AS won,
            CASE WHEN k.free THEN first_value(k.no) OVER v ELSE k.held_by END AS holder,
            CASE WHEN k.free THEN first_value(k.id) OVER v ELSE k.held_id END AS holder_id
        FROM (
            SELECT u.*, d.no AS held_by, d.job_id AS held_id,
                d.no = 0 OR coalesce(d.until <= p_now, j.no IS NULL OR e.no IS NOT NULL) AS free
            FROM unnest(p_nos, p_ids, p_queues, p_fresh, p_keys) WITH ORDINALITY
                u(no, id, queue, fresh, key, at)
            LEFT JOIN LATERAL (SELECT no, job_id, until FROM {ns}_dedup
                WHERE queue = u.queue AND key = u.key LIMIT 1) d ON true
            LEFT JOIN LATERAL (SELECT no FROM {ns}_job WHERE no = d.no LIMIT 1) j ON true
            LEFT JOIN LATERAL (SELECT no FROM {ns}_done WHERE no = d.no LIMIT 1) e ON true) k
        WINDOW v AS (PARTITION BY k.queue, k.key, k.fresh ORDER BY k.at)) w;
    UPDATE {ns}_dedup d SET no = u.no, job_id = u.id, until = p_now + u.hold
    FROM unnest(p_nos, p_ids, p_queues, p_keys, p_holds, o_won) u(no, id, queue, key, hold, won)
    WHERE u.won AND d.queue = u.queue AND d.key = u.key;
    UPDATE {ns}_dedup d SET until = p_now + e.hold
    FROM (
        SELECT DISTINCT ON (u.queue, u.key) u.queue, u.key, u.hold
        FROM unnest(p_queues, p_keys, p_modes, p_holds, o_holders) WITH ORDINALITY
            u(queue, key, mode, hold, holder, at)
        WHERE u.holder IS NOT NULL AND u.mode = 1 AND u.hold IS NOT NULL
        ORDER BY u.queue, u.key, u.at DESC) e
    WHERE d.queue = e.queue AND d.key = e.key;
END $$;

-- Place jobs that are apart, all at once, as if one after the other. `p_fresh` tells which were not
-- there; the gates and keys of all are locked.
CREATE FUNCTION {ns}_place_all(
    p_now BIGINT, p_listening BOOLEAN, p_nos BIGINT[], p_ids TEXT[], p_queues INTEGER[],
    p_lanes INTEGER[], p_prios INTEGER[], p_dues BIGINT[], p_flags INTEGER[], p_fresh BOOLEAN[],
    p_groups TEXT[], p_places BIGINT[], p_keys TEXT[], p_modes INTEGER[], p_holds BIGINT[],
    OUT o_outcomes INTEGER[], OUT o_states INTEGER[], OUT o_ids TEXT[], OUT o_news {ns}_news
) LANGUAGE plpgsql AS $$
DECLARE
    v_won BOOLEAN[] := p_fresh;
    v_holders BIGINT[];
    x RECORD;
BEGIN
    o_ids := p_ids;
    o_news := {ns}_no_news();
    IF p_keys IS NOT NULL THEN
        SELECT g.o_won, g.o_holders, g.o_ids INTO v_won, v_holders, o_ids
        FROM {ns}_give_keys(p_now, p_nos, p_ids, p_queues, p_fresh, p_keys, p_modes, p_holds) g;
        DELETE FROM {ns}_job WHERE no = ANY (ARRAY(
            SELECT u.no FROM unnest(p_nos, v_holders) u(no, holder) WHERE u.holder IS NOT NULL));
    END IF;
    -- New limits first: who waits in the line of a group comes before who is new.
    FOR x IN
        SELECT g.id, min(u.places) AS places
        FROM unnest(p_queues, p_groups, p_places, v_won) u(queue, key, places, won)
        CROSS JOIN LATERAL (SELECT id, room FROM {ns}_gate
            WHERE queue = u.queue AND kind = 0 AND key = u.key LIMIT 1) g
        WHERE u.won AND g.room <> u.places GROUP BY g.id ORDER BY g.id
    LOOP
        o_news := {ns}_resize(o_news, p_now, x.id, x.places, NULL, NULL, NULL);
    END LOOP;
    WITH x AS MATERIALIZED (
        SELECT u.*, g.id AS gate, CASE WHEN u.flags & 4 <> 0 THEN -1 ELSE 1 END AS sign,
            CASE WHEN u.due > p_now THEN 1 WHEN g.id IS NULL THEN 0
                WHEN row_number() OVER (PARTITION BY g.id, u.due > p_now ORDER BY u.at)
                    <= g.room - g.taken THEN 0 ELSE 2 END AS state
        FROM unnest(p_nos, p_queues, p_lanes, p_prios, p_dues, p_flags, p_groups, p_places, v_won)
            WITH ORDINALITY u(no, queue, lane, prio, due, flags, key, places, won, at)
        LEFT JOIN LATERAL (SELECT id, room, taken FROM {ns}_gate
            WHERE queue = u.queue AND kind = 0 AND key = u.key LIMIT 1) g ON true
        WHERE u.won
    ), r AS (
        INSERT INTO {ns}_ready (queue, prio, due, no, lane, failures, crashes, flags)
        SELECT queue, prio, sign * due, sign * no, lane, 0, 0, flags FROM x WHERE state = 0
    ), d AS (
        INSERT INTO {ns}_delayed (queue, due, no, lane, prio, failures, crashes, flags)
        SELECT queue, due, no, lane, prio, 0, 0, flags FROM x WHERE state = 1
    ), b AS (
        INSERT INTO {ns}_blocked (line, prio, due, no, queue, lane, failures, crashes, flags)
        SELECT gate, prio, sign * due, sign * no, queue, lane, 0, 0, flags FROM x WHERE state = 2
    ), e AS (
        INSERT INTO {ns}_gated (no, grp, grp_key, places, placed)
        SELECT no, gate, key, places, state = 0 FROM x WHERE gate IS NOT NULL
    ), c AS (
        UPDATE {ns}_gate g SET members = g.members + k.n, taken = g.taken + k.placed
        FROM (SELECT gate, count(*) AS n, count(*) FILTER (WHERE state = 0) AS placed
            FROM x WHERE gate IS NOT NULL GROUP BY gate) k
        WHERE g.id = k.gate
    )
    SELECT (SELECT array_agg(state ORDER BY at) FROM x),
        o_news.moves || ARRAY(
            SELECT ROW(queue, NULL, state, 0, count(*), 0, false)::{ns}_move
            FROM x GROUP BY queue, state)
    INTO o_states, o_news.moves;
    IF cardinality(o_states) = cardinality(p_nos) THEN
        o_outcomes := array_fill(0, ARRAY[cardinality(p_nos)]);
    ELSE
        SELECT array_agg(CASE WHEN u.won THEN 0 WHEN u.fresh THEN 2 ELSE 1 END ORDER BY u.at),
            array_agg(s.state ORDER BY u.at)
        INTO o_outcomes, o_states
        FROM unnest(p_nos, p_ids, p_fresh, v_won, v_holders) WITH ORDINALITY
            u(no, id, fresh, won, holder, at)
        LEFT JOIN LATERAL (
            SELECT no FROM {ns}_job WHERE NOT u.fresh AND id = u.id LIMIT 1) j ON true
        LEFT JOIN {ns}_standing s ON s.no = coalesce(j.no, u.holder, u.no);
        IF EXISTS (SELECT 1 FROM unnest(o_outcomes, o_states) u(outcome, state)
                WHERE u.outcome = 1 AND u.state IS NULL) THEN
            RAISE EXCEPTION 'a job was removed meanwhile' USING ERRCODE = '40001';
        END IF;
    END IF;
    IF p_listening THEN
        o_news.told := o_news.told || ARRAY(
            SELECT ROW(CASE WHEN u.won THEN 'added' ELSE 'deduplicated' END, q.name, u.id,
                coalesce(l.name, ''), NULL, NULL, NULL, NULL)::{ns}_told
            FROM unnest(p_nos, o_ids, p_queues, v_won, v_holders, p_fresh) WITH ORDINALITY
                u(no, id, queue, won, holder, fresh, at)
            JOIN {ns}_queue q ON q.id = u.queue
            LEFT JOIN {ns}_job j ON j.no = coalesce(u.holder, u.no)
            LEFT JOIN {ns}_lane l ON l.id = j.lane
            WHERE u.fresh ORDER BY u.at);
    END IF;
END $$;

-- Store jobs, as {ns}_add does, where some are tied: all at once where one does not depend on what
-- becomes of another, else one after the other. Units are given by number; gates, keys and parents
-- are null or empty where there are none. Outcomes: 0 created, 1 exists, 2 deduplicated, 3 no
-- parent. Jobs are inserted at once, sorted by id, and those deleted again
-- that are not to be stored after all, so that adds of the same ids in another order wait for each
-- other in one direction only.
CREATE FUNCTION {ns}_add_tied(
    p_now BIGINT, p_fast BOOLEAN, p_key TEXT, p_expected BIGINT, p_next BIGINT,
    p_queues TEXT[], p_channels TEXT[], p_names TEXT[],
    p_ids TEXT[], p_lanes INTEGER[], p_prios INTEGER[], p_delays BIGINT[], p_run_ats BIGINT[],
    p_ttls BIGINT[], p_attempts INTEGER[], p_crashes INTEGER[], p_flags INTEGER[],
    p_payloads BYTEA[], p_options BYTEA[],
    p_keeps INTEGER[], p_keep_counts BIGINT[], p_keep_ages BIGINT[], p_fail_counts BIGINT[],
    p_fail_ages BIGINT[],
    p_units INTEGER[], p_groups TEXT[], p_places BIGINT[], p_rates TEXT[], p_starts BIGINT[],
    p_pers BIGINT[], p_dedups TEXT[], p_modes INTEGER[], p_holds BIGINT[],
    p_children INTEGER[], p_parents TEXT[], p_ignored BOOLEAN[],
    OUT o_now BIGINT, OUT o_fired BOOLEAN, OUT o_listening BOOLEAN, OUT o_outcomes INTEGER[],
    OUT o_states INTEGER[], OUT o_ids TEXT[], OUT o_woken TEXT[]
) LANGUAGE plpgsql
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_n INTEGER := cardinality(p_ids);
    v_lane_queues INTEGER[] := '{}';
    v_lanes INTEGER[] := '{}';
    v_new INTEGER[] := '{}';
    v_queues INTEGER[];
    v_nos BIGINT[];
    v_others BIGINT[];
    v_gates BIGINT[];
    v_dues BIGINT[];
    v_early BIGINT[];
    v_fresh BOOLEAN[];
    v_made BIGINT[] := '{}';
    v_group BIGINT;
    v_rate BIGINT;
    v_due BIGINT;
    v_unit INTEGER := 0;
    v_stored BOOLEAN;
    n {ns}_news := {ns}_no_news();
    v_part RECORD;
    x RECORD;
BEGIN
    o_now := {ns}_begin(p_now, p_fast);
    o_listening := {ns}_listening(o_now);
    o_fired := {ns}_tick(p_key, p_expected, p_next);
    o_woken := '{}';
    IF NOT o_fired OR v_n = 0 THEN
        RETURN;
    END IF;
    SELECT * INTO v_part FROM {ns}_known_lanes(p_queues, p_channels, p_names);
    v_lane_queues := v_part.o_queues;
    v_lanes := v_part.o_lanes;
    v_new := v_part.o_new;
    v_queues := ARRAY(
        SELECT v_lane_queues[u.place] FROM unnest(p_lanes) WITH ORDINALITY u(place, at)
        ORDER BY u.at);
    PERFORM {ns}_lock_keys(v_queues, p_dedups);
    -- The jobs there are that these may touch: parents, and who holds a key and stands for one.
    v_others := ARRAY(SELECT no FROM {ns}_job WHERE id = ANY (p_parents)) || ARRAY(
        SELECT d.no FROM unnest(v_queues, p_dedups, p_modes) u(queue, key, mode)
        JOIN {ns}_dedup d ON d.queue = u.queue AND d.key = u.key
        WHERE d.no > 0 AND (u.mode = 2 OR cardinality(p_parents) > 0));
    SELECT * INTO v_part FROM {ns}_gates_asked(v_queues, p_groups, p_places, p_rates, p_starts,
        p_pers);
    v_gates := {ns}_open_gates(v_part.o_queues, v_part.o_kinds, v_part.o_keys, v_part.o_rooms,
        v_part.o_pers, {ns}_gates_of(v_others), (SELECT coalesce(max(u), 0) FROM unnest(p_places) u));
    PERFORM 1 FROM {ns}_job
    WHERE no = ANY (ARRAY(SELECT DISTINCT u.no FROM unnest(v_others) u(no) ORDER BY 1))
    ORDER BY no FOR UPDATE;
    IF NOT {ns}_gates_of(v_others) <@ v_gates THEN
        RAISE EXCEPTION 'a job got other gates meanwhile' USING ERRCODE = '40001';
    END IF;
    IF cardinality(v_others) > 0 THEN
        PERFORM {ns}_lock_states(v_others);
    END IF;
    v_nos := ARRAY(SELECT nextval('{ns}_job_no') FROM generate_series(1, v_n));
    v_dues := ARRAY(
        SELECT greatest(o_now, coalesce(u.run_at, o_now + u.delay))
        FROM unnest(p_delays, p_run_ats) WITH ORDINALITY u(delay, run_at, at) ORDER BY u.at);
    WITH i AS (
        INSERT INTO {ns}_job (no, id, queue, lane, prio, due, created_at, attempts, max_crashes,
            flags, ttl_ms, expires_at, dedup, payload, options)
        SELECT no, id, queue, v_lanes[place], prio, due, o_now, attempts, max_crashes, flags, ttl,
            o_now + ttl, dedup, payload, options
        FROM unnest(v_nos, p_ids, v_queues, p_lanes, p_prios, v_dues, p_ttls, p_attempts,
            p_crashes, p_flags, p_dedups, p_payloads, p_options)
            AS x(no, id, queue, place, prio, due, ttl, attempts, max_crashes, flags, dedup,
                payload, options)
        ORDER BY id COLLATE "C", no ON CONFLICT (id) DO NOTHING RETURNING no
    ) SELECT array_agg(no) INTO v_early FROM i;
    v_early := coalesce(v_early, '{}');
    IF cardinality(p_children) = 0 AND p_rates IS NULL
            AND {ns}_are_apart(p_ids, v_queues, p_groups, p_places, p_dedups, p_modes) THEN
        v_fresh := CASE WHEN cardinality(v_early) = v_n THEN array_fill(true, ARRAY[v_n])
            ELSE ARRAY(
                SELECT j.no IS NOT NULL FROM unnest(v_nos) WITH ORDINALITY u(no, at)
                LEFT JOIN LATERAL (SELECT no FROM {ns}_job WHERE no = u.no LIMIT 1) j ON true
                ORDER BY u.at) END;
        SELECT * INTO v_part FROM {ns}_place_all(o_now, o_listening, v_nos, p_ids, v_queues,
            ARRAY(SELECT v_lanes[u.place] FROM unnest(p_lanes) WITH ORDINALITY u(place, at)
                ORDER BY u.at),
            p_prios, v_dues, p_flags, v_fresh, p_groups, p_places, p_dedups, p_modes, p_holds);
        o_outcomes := v_part.o_outcomes;
        o_states := v_part.o_states;
        o_ids := v_part.o_ids;
        n := v_part.o_news;
        v_made := ARRAY(
            SELECT u.no FROM unnest(v_nos, o_outcomes) u(no, outcome) WHERE u.outcome = 0);
        IF p_ttls IS NOT NULL THEN
            INSERT INTO {ns}_expiry (at, no)
            SELECT o_now + u.ttl, u.no FROM unnest(v_nos, p_ttls, o_outcomes) u(no, ttl, outcome)
            WHERE u.ttl IS NOT NULL AND u.outcome = 0;
        END IF;
        IF p_keeps IS NOT NULL THEN
            INSERT INTO {ns}_keep SELECT v_nos[u.at], u.kc, u.ka, u.fc, u.fa
            FROM unnest(p_keeps, p_keep_counts, p_keep_ages, p_fail_counts, p_fail_ages)
                AS u(at, kc, ka, fc, fa)
            WHERE o_outcomes[u.at] = 0;
        END IF;
        v_n := 0; -- none is left for one after the other
    ELSE
        o_outcomes := array_fill(3, ARRAY[v_n]);
        o_states := array_fill(NULL::INTEGER, ARRAY[v_n]);
        o_ids := p_ids;
    END IF;
    FOR x IN
        SELECT u.*, u.no = ANY (v_early) AS early, k.kept, k.kc, k.ka, k.fc, k.fa
        FROM unnest(v_nos, p_ids, p_units, v_queues, p_lanes, p_prios, p_delays, p_run_ats, p_ttls,
            p_attempts, p_crashes, p_flags, p_payloads, p_options, p_groups, p_places, p_rates,
            p_starts, p_pers, p_dedups, p_modes, p_holds) WITH ORDINALITY
            u(no, id, unit, queue, place, prio, delay, run_at, ttl, attempts, crashes, flags,
                payload, options, grp, places, rate, starts, per, dedup, mode, hold, at)
        LEFT JOIN unnest(p_keeps, p_keep_counts, p_keep_ages, p_fail_counts, p_fail_ages)
            k(kept, kc, ka, fc, fa) ON k.kept = u.at
        WHERE v_n > 0 ORDER BY u.at
    LOOP
        IF x.unit <> v_unit THEN
            v_unit := x.unit;
            v_stored := {ns}_has_parents(x.unit, p_units, v_nos, p_ids, v_made, p_children,
                p_parents);
        END IF;
        IF NOT v_stored THEN
            DELETE FROM {ns}_job WHERE no = x.no AND x.early;
            CONTINUE;
        END IF;
        v_due := greatest(o_now, coalesce(x.run_at, o_now + x.delay));
        IF NOT x.early THEN
            SELECT s.no, s.state INTO v_part FROM {ns}_standing s WHERE s.id = x.id;
            IF FOUND THEN
                o_outcomes[x.at] := 1;
                o_states[x.at] := v_part.state;
                CONTINUE;
            ELSIF x.id <> ALL (p_ids[:x.at - 1]) THEN
                -- It was there and is gone: one made now would not be locked in its turn.
                RAISE EXCEPTION 'a job was removed meanwhile' USING ERRCODE = '40001';
            END IF;
        END IF;
        IF x.dedup IS NOT NULL THEN
            v_part := {ns}_meet_holder(n, o_now, x.queue, x.dedup, x.mode, x.hold, v_due, x.prio,
                x.payload, x.options);
            n := v_part.o_news;
            IF v_part.o_id IS NOT NULL THEN
                o_outcomes[x.at] := 2;
                o_states[x.at] := v_part.o_state;
                o_ids[x.at] := v_part.o_id;
                DELETE FROM {ns}_job WHERE no = x.no AND x.early;
                CONTINUE;
            END IF;
            UPDATE {ns}_dedup SET no = x.no, job_id = x.id, until = o_now + x.hold
            WHERE queue = x.queue AND key = x.dedup;
        END IF;
        IF NOT x.early THEN
            INSERT INTO {ns}_job (no, id, queue, lane, prio, due, created_at, attempts,
                max_crashes, flags, ttl_ms, expires_at, dedup, payload, options)
            VALUES (x.no, x.id, x.queue, v_lanes[x.place], x.prio, v_due, o_now, x.attempts,
                x.crashes, x.flags, x.ttl, o_now + x.ttl, x.dedup, x.payload, x.options);
        END IF;
        o_outcomes[x.at] := 0;
        v_made := v_made || x.no;
        n.moves := n.moves || ROW(x.queue, NULL, NULL, 0, 1, 0, false)::{ns}_move;
        n.told := n.told || ROW('added', p_queues[x.place], x.id, p_names[x.place], NULL, NULL,
            NULL, NULL)::{ns}_told;
        IF x.ttl IS NOT NULL THEN
            INSERT INTO {ns}_expiry (at, no) VALUES (o_now + x.ttl, x.no);
        END IF;
        IF x.kept IS NOT NULL THEN
            INSERT INTO {ns}_keep VALUES (x.no, x.kc, x.ka, x.fc, x.fa);
        END IF;
        IF x.flags & 384 <> 0 THEN
            SELECT id INTO v_group FROM {ns}_gate
            WHERE queue = x.queue AND kind = 0 AND key = x.grp;
            SELECT id INTO v_rate FROM {ns}_gate
            WHERE queue = x.queue AND kind = 1 AND key = x.rate;
            INSERT INTO {ns}_gated (no, grp_key, places, placed, rate_key, starts, per_ms)
            VALUES (x.no, x.grp, x.places, false, x.rate, x.starts, x.per);
            PERFORM {ns}_enrol(x.no, v_group, v_rate);
            n := {ns}_resize(n, o_now, v_group, x.places, v_rate, x.starts, x.per);
        END IF;
        IF x.flags & 512 <> 0 THEN
            INSERT INTO {ns}_dep (child, at, parent, ignored, attached, waits)
            SELECT x.no, d.at, coalesce(h.id, d.parent), d.ignored, false, false
            FROM unnest(p_children, p_parents, p_ignored) WITH ORDINALITY
                d(child, parent, ignored, at)
            LEFT JOIN LATERAL (
                SELECT o_ids[u.at] AS id FROM unnest(p_ids, p_units, o_outcomes) WITH ORDINALITY
                    u(id, unit, outcome, at)
                WHERE u.id = d.parent AND u.unit = x.unit AND u.outcome = 2 LIMIT 1) h ON true
            WHERE d.child = x.at;
            v_part := {ns}_follow_parents(n, x.no, o_now);
            n := v_part.o_news;
            o_states[x.at] := v_part.o_state;
        ELSE
            o_states[x.at] := {ns}_place_new(x.no, x.queue, v_lanes[x.place], x.flags, x.prio,
                v_due, o_now);
            n.moves := n.moves || ROW(x.queue, NULL, o_states[x.at], NULL, 1, 0, false)::{ns}_move;
        END IF;
    END LOOP;
    IF n.ended <> '{}' THEN
        n := {ns}_resolve(n, o_now);
    END IF;
    o_woken := {ns}_woken(n.moves);
    DELETE FROM {ns}_dedup d USING unnest(v_queues, p_dedups) u(queue, key)
    WHERE d.queue = u.queue AND d.key = u.key AND d.no = 0;
    PERFORM {ns}_drop_gates(v_gates, o_now);
    IF o_listening AND p_key IS NOT NULL THEN
        n.told := n.told || ARRAY(SELECT ROW('scheduled', t.queue, t.job_id, t.name, NULL,
            NULL, NULL, NULL)::{ns}_told FROM unnest(n.told) t WHERE t.kind = 'added');
    END IF;
    PERFORM {ns}_book(o_now, o_listening, n.moves, n.told);
    PERFORM {ns}_disown(v_new, v_made);
END $$;

-- The gates that jobs ask for, each once.
CREATE FUNCTION {ns}_gates_asked(
    p_queues INTEGER[], p_groups TEXT[], p_places BIGINT[], p_rates TEXT[], p_starts BIGINT[],
    p_pers BIGINT[], OUT o_queues INTEGER[], OUT o_kinds INTEGER[], OUT o_keys TEXT[],
    OUT o_rooms BIGINT[], OUT o_pers BIGINT[]
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT coalesce(array_agg(a.queue), '{}'), coalesce(array_agg(a.kind), '{}'),
        coalesce(array_agg(a.key), '{}'), coalesce(array_agg(a.room), '{}'),
        coalesce(array_agg(a.per), '{}')
    INTO o_queues, o_kinds, o_keys, o_rooms, o_pers
    FROM (
        SELECT DISTINCT ON (e.queue, e.kind, e.key) e.* FROM (
            SELECT queue, 0 AS kind, key, room, NULL::BIGINT AS per, at
            FROM unnest(p_queues, p_groups, p_places) WITH ORDINALITY u(queue, key, room, at)
            UNION ALL
            SELECT queue, 1, key, room, per, at FROM unnest(p_queues, p_rates, p_starts, p_pers)
                WITH ORDINALITY u(queue, key, room, per, at)) e
        WHERE e.key IS NOT NULL ORDER BY e.queue, e.kind, e.key, e.at) a;
END $$;

-- Whether each parent of a unit's jobs is there, or comes before its child in the unit (DEP-2). Of
-- the jobs inserted by this step only those in `p_made` are.
CREATE FUNCTION {ns}_has_parents(
    p_unit INTEGER, p_units INTEGER[], p_nos BIGINT[], p_ids TEXT[], p_made BIGINT[],
    p_children INTEGER[], p_parents TEXT[]
) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
BEGIN
    RETURN NOT EXISTS (
        SELECT 1 FROM unnest(p_children, p_parents) d(child, parent)
        WHERE p_units[d.child] = p_unit
            AND NOT EXISTS (SELECT 1 FROM {ns}_job j WHERE j.id = d.parent
                AND (j.no <> ALL (p_nos) OR j.no = ANY (p_made)))
            AND NOT EXISTS (SELECT 1 FROM unnest(p_ids, p_units) WITH ORDINALITY u(id, unit, at)
                WHERE u.unit = p_unit AND u.at < d.child AND u.id = d.parent));
END $$;

-- Put a new job without parents where it belongs.
CREATE FUNCTION {ns}_place_new(
    p_no BIGINT, p_queue INTEGER, p_lane INTEGER, p_flags INTEGER, p_prio INTEGER, p_due BIGINT,
    p_now BIGINT
) RETURNS INTEGER LANGUAGE plpgsql AS $$
DECLARE
    s {ns}_standing;
BEGIN
    s.no := p_no;
    s.queue := p_queue;
    s.lane := p_lane;
    s.flags := p_flags;
    s.prio := p_prio;
    s.due := p_due;
    RETURN {ns}_enqueue(s, p_now, CASE WHEN p_due > p_now THEN 1 ELSE 0 END, p_due, p_prio, 0, 0);
END $$;
