-- Claim and settle. What is claimed is chosen and locked by one statement and moved by another.

-- The due of the earliest delayed job of some queues.
CREATE FUNCTION {ns}_next_due(p_queues INTEGER[]) RETURNS BIGINT
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT min(d.due) FROM unnest(p_queues) k(id) CROSS JOIN LATERAL (
            SELECT due FROM {ns}_delayed WHERE queue = k.id ORDER BY due, no LIMIT 1) d);
END $$;

-- Let due delayed jobs wait, a bounded number of each queue; tell the due of the earliest that is left.
CREATE FUNCTION {ns}_promote(
    p_queues INTEGER[], p_now BIGINT, p_instant BIGINT,
    OUT o_moves {ns}_move[], OUT o_next_due BIGINT
) LANGUAGE plpgsql AS $$
DECLARE
    v_queue INTEGER;
    v_gated TID[];
    v_due BIGINT;
    v_n BIGINT;
BEGIN
    o_moves := '{}';
    FOREACH v_queue IN ARRAY p_queues LOOP
        SELECT due INTO v_due FROM {ns}_delayed WHERE queue = v_queue ORDER BY due, no LIMIT 1;
        CONTINUE WHEN NOT FOUND;
        o_next_due := least(o_next_due, v_due);
        CONTINUE WHEN v_due > p_instant;
        WITH p AS MATERIALIZED (
            SELECT ctid AS tid, flags & 384 <> 0 AS gated FROM {ns}_delayed
            WHERE queue = v_queue AND due <= p_instant
            ORDER BY due, no LIMIT 1000 FOR UPDATE SKIP LOCKED
        ), d AS (
            DELETE FROM {ns}_delayed WHERE ctid = ANY (ARRAY(SELECT tid FROM p WHERE NOT gated))
            RETURNING *
        ), i AS (
            INSERT INTO {ns}_ready (queue, prio, due, no, lane, failures, crashes, flags)
            SELECT queue, prio, CASE WHEN flags & 4 <> 0 THEN -due ELSE due END,
                CASE WHEN flags & 4 <> 0 THEN -no ELSE no END, lane, failures, crashes, flags
            FROM d
        )
        SELECT (SELECT count(*) FROM d), ARRAY(SELECT tid FROM p WHERE gated) INTO v_n, v_gated;
        o_moves := o_moves || ROW(v_queue, 1, 0, NULL, v_n, 0, true)::{ns}_move;
        IF cardinality(v_gated) > 0 THEN
            o_moves := o_moves || {ns}_promote_gated(v_gated, p_now, p_instant);
        END IF;
    END LOOP;
    IF o_next_due <= p_instant THEN
        o_next_due := {ns}_next_due(p_queues);
    END IF;
END $$;

-- Choose and lock the head of several ranges: whole queues and lanes. What is locked by others is
-- passed over, so up to four times as many as asked for are looked at. A lane shows few at first;
-- one that might have more of the head is asked again.
CREATE FUNCTION {ns}_merge(
    p_queues INTEGER[], p_lanes INTEGER[], p_limit INTEGER, OUT o_tids TID[], OUT o_more BOOLEAN
) LANGUAGE plpgsql AS $$
DECLARE
    v_over INTEGER := 4 * p_limit;
    v_per INTEGER := least(v_over,
        v_over / (cardinality(p_queues) + cardinality(p_lanes)) * 2 + 8);
    v_seen INTEGER;
    v_hidden BOOLEAN;
BEGIN
    LOOP
        WITH c AS MATERIALIZED (
            SELECT h.* FROM unnest(p_queues) k(key) CROSS JOIN LATERAL (
                SELECT ctid AS tid, prio, due, no,
                    row_number() OVER (ORDER BY prio, due, no) AS place
                FROM {ns}_ready WHERE queue = k.key ORDER BY prio, due, no LIMIT v_per) h
            UNION ALL
            SELECT h.* FROM unnest(p_lanes) k(key) CROSS JOIN LATERAL (
                SELECT ctid AS tid, prio, due, no,
                    row_number() OVER (ORDER BY prio, due, no) AS place
                FROM {ns}_ready WHERE lane = k.key ORDER BY prio, due, no LIMIT v_per) h
        ), m AS MATERIALIZED (
            SELECT tid, place, row_number() OVER (ORDER BY prio, due, no) AS rank
            FROM c ORDER BY prio, due, no LIMIT v_over
        ), l AS MATERIALIZED (
            SELECT ctid AS tid FROM {ns}_ready WHERE ctid = ANY (ARRAY(SELECT tid FROM m))
            ORDER BY prio, due, no LIMIT p_limit FOR UPDATE SKIP LOCKED
        )
        SELECT ARRAY(SELECT tid FROM l), (SELECT count(*) FROM m),
            EXISTS (SELECT 1 FROM m WHERE place = v_per AND rank < p_limit)
        INTO o_tids, v_seen, v_hidden;
        EXIT WHEN NOT v_hidden OR v_per = v_over;
        v_per := v_over;
    END LOOP;
    o_more := v_seen = v_over AND cardinality(o_tids) < p_limit;
END $$;

-- Choose and lock what the sources give, in claim order. `o_more` tells that more may be left.
CREATE FUNCTION {ns}_head(
    p_sources JSONB, p_limit INTEGER, OUT o_tids TID[], OUT o_more BOOLEAN
) LANGUAGE plpgsql AS $$
DECLARE
    s RECORD;
    v_queues INTEGER[] := '{}';
    v_lanes INTEGER[] := '{}';
    v_served INTEGER[];
    v_whole BOOLEAN;
    v_part RECORD;
    v_parts INTEGER := 0;
BEGIN
    o_tids := '{}';
    o_more := false;
    FOR s IN
        SELECT q.id, x.names, x.channels, x."limit" AS most
        FROM jsonb_to_recordset(p_sources)
            AS x(queue TEXT, names TEXT[], channels TEXT[], "limit" INTEGER)
        JOIN {ns}_queue q ON q.name = x.queue
        WHERE NOT q.paused AND NOT q.closing AND x."limit" > 0
    LOOP
        v_whole := s.names IS NULL AND s.channels IS NULL;
        v_served := '{}';
        IF NOT v_whole THEN
            SELECT bool_and(served), coalesce(array_agg(id) FILTER (WHERE served), '{}')
            INTO v_whole, v_served
            FROM (
                SELECT id, (s.names IS NULL OR name = ANY (s.names))
                    AND (s.channels IS NULL OR channel = ANY (s.channels)) AS served
                FROM {ns}_lane WHERE queue = s.id) l;
        END IF;
        IF v_whole AND jsonb_array_length(p_sources) = 1 THEN
            o_tids := ARRAY(
                SELECT ctid FROM {ns}_ready WHERE queue = s.id ORDER BY prio, due, no
                LIMIT least(p_limit, s.most) FOR UPDATE SKIP LOCKED);
            RETURN;
        ELSIF s.most >= p_limit THEN
            IF v_whole THEN
                v_queues := v_queues || s.id;
            ELSE
                v_lanes := v_lanes || v_served;
            END IF;
        ELSIF v_whole OR cardinality(v_served) > 0 THEN
            v_part := {ns}_merge(CASE WHEN v_whole THEN ARRAY[s.id] ELSE '{}' END,
                CASE WHEN v_whole THEN '{}' ELSE v_served END, s.most);
            o_tids := o_tids || v_part.o_tids;
            o_more := o_more OR v_part.o_more;
            v_parts := v_parts + 1;
        END IF;
    END LOOP;
    IF cardinality(v_queues) + cardinality(v_lanes) > 0 THEN
        v_part := {ns}_merge(v_queues, v_lanes, p_limit);
        o_tids := o_tids || v_part.o_tids;
        o_more := o_more OR v_part.o_more;
        v_parts := v_parts + 1;
    END IF;
    IF v_parts > 1 AND cardinality(o_tids) > p_limit THEN
        o_tids := ARRAY(
            SELECT ctid FROM {ns}_ready WHERE ctid = ANY (o_tids)
            ORDER BY prio, due, no LIMIT p_limit);
        o_more := false;
    END IF;
END $$;

-- Decide what a claim gets, after `p_moves`: locks the jobs, writes the lease, moves nothing out of
-- `ready` but what is past its time to live, which is set aside for the reaper (its queue and lane
-- negated).
CREATE FUNCTION {ns}_choose(
    p_want JSONB, p_now BIGINT, p_listening BOOLEAN, p_moves {ns}_move[],
    OUT o_fence BIGINT, OUT o_until BIGINT, OUT o_next_due BIGINT, OUT o_again BOOLEAN,
    OUT o_tids TID[], OUT o_moves {ns}_move[], OUT o_told {ns}_told[], OUT o_queues INTEGER[]
) LANGUAGE plpgsql AS $$
DECLARE
    v_limit INTEGER := least((p_want->>'limit')::INTEGER, 1000);
    v_sources JSONB := p_want->'sources';
    v_queues INTEGER[];
    v_ttl BOOLEAN;
    v_rated BOOLEAN;
    v_first INTEGER;
    v_last INTEGER;
    v_limited BOOLEAN;
    v_gone TID[] := '{}';
    v_head RECORD;
    v_part RECORD;
BEGIN
    o_tids := '{}';
    o_moves := '{}';
    o_told := '{}';
    o_again := false;
    v_queues := ARRAY(
        SELECT DISTINCT id FROM {ns}_queue
        WHERE name = ANY (ARRAY(SELECT x->>'queue' FROM jsonb_array_elements(v_sources) x))
            AND NOT paused AND NOT closing);
    IF v_limit > 0 AND cardinality(v_queues) > 0 OR v_limit > 0 AND v_sources <> '[]' THEN
        SELECT no, until INTO o_fence, o_until FROM {ns}_lease
        WHERE token = p_want->>'lease_id';
        o_again := FOUND;
        IF NOT o_again THEN
            v_part := {ns}_promote(v_queues, p_now,
                greatest(p_now, (p_want->>'as_of')::BIGINT));
            o_moves := v_part.o_moves;
            o_next_due := v_part.o_next_due;
        END IF;
    END IF;
    IF o_again OR v_limit <= 0 THEN
        o_next_due := {ns}_next_due(v_queues);
    END IF;
    v_limited := EXISTS (SELECT 1 FROM {ns}_limiter WHERE queue = ANY (v_queues));
    IF v_limited THEN
        o_queues := v_queues;
    END IF;
    IF o_again OR v_limit <= 0 OR cardinality(v_queues) = 0 THEN
        RETURN;
    END IF;
    IF v_limited THEN
        v_head := {ns}_limited_head(v_sources, v_limit, v_queues, p_now, p_moves);
    ELSE
        v_head := {ns}_head(v_sources, v_limit);
    END IF;
    o_tids := v_head.o_tids;
    IF cardinality(o_tids) = 0 THEN
        IF v_head.o_more THEN
            o_next_due := p_now;
        END IF;
        RETURN;
    END IF;
    SELECT bool_or(flags & 64 <> 0), bool_or(flags & 256 <> 0), min(queue), max(queue)
    INTO v_ttl, v_rated, v_first, v_last
    FROM {ns}_ready WHERE ctid = ANY (o_tids);
    IF v_ttl THEN
        v_gone := ARRAY(
            SELECT r.ctid FROM {ns}_ready r JOIN {ns}_job j ON j.no = abs(r.no)
            WHERE r.ctid = ANY (o_tids) AND r.flags & 64 <> 0 AND j.expires_at <= p_now);
    END IF;
    IF cardinality(v_gone) > 0 THEN
        o_tids := ARRAY(SELECT t FROM unnest(o_tids) t WHERE t <> ALL (v_gone));
        WITH g AS (DELETE FROM {ns}_ready WHERE ctid = ANY (v_gone) RETURNING *)
        INSERT INTO {ns}_ready (queue, prio, due, no, lane, failures, crashes, flags)
        SELECT -queue, prio, due, no, -lane, failures, crashes, flags FROM g;
    END IF;
    IF v_rated THEN
        v_part := {ns}_start(o_tids, p_now);
        IF cardinality(v_part.o_tids) < cardinality(o_tids) THEN
            v_head.o_more := true;
        END IF;
        o_tids := v_part.o_tids;
        o_moves := o_moves || (v_part.o_news).moves;
        o_next_due := {ns}_next_due(v_queues);
    END IF;
    IF v_head.o_more OR cardinality(v_gone) > 0 THEN
        o_next_due := p_now;
    END IF;
    IF cardinality(o_tids) = 0 THEN
        RETURN;
    END IF;
    IF v_limited THEN
        PERFORM {ns}_count_starts(o_tids, v_queues, p_now);
    END IF;
    -- Only now, with the jobs locked, is a number greater than all that they had before.
    o_fence := nextval('{ns}_lease_no');
    o_until := p_now + (p_want->>'ttl_ms')::BIGINT;
    INSERT INTO {ns}_lease (no, token, until, started_at, worker, held)
    VALUES (o_fence, p_want->>'lease_id', o_until, p_now, p_want->>'worker',
        cardinality(o_tids));
    IF o_fence % 100 = 0 THEN
        DELETE FROM {ns}_lease WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM {ns}_lease WHERE no < o_fence - 1000 AND held <= 0
            FOR UPDATE SKIP LOCKED));
    END IF;
    IF v_first = v_last THEN
        o_moves := o_moves
            || ROW(v_first, 0, 3, 1, cardinality(o_tids), 0, false)::{ns}_move;
    ELSE
        o_moves := o_moves || ARRAY(
            SELECT ROW(queue, 0, 3, 1, count(*), 0, false)::{ns}_move
            FROM {ns}_ready WHERE ctid = ANY (o_tids) GROUP BY queue);
    END IF;
    IF p_listening THEN
        o_told := ARRAY(
            SELECT ROW('active', q.name, j.id, l.name, p_want->>'worker', r.failures + 1, NULL,
                NULL)::{ns}_told
            FROM {ns}_ready r JOIN {ns}_job j ON j.no = abs(r.no) JOIN {ns}_lane l ON l.id = r.lane
            JOIN {ns}_queue q ON q.id = r.queue
            WHERE r.ctid = ANY (o_tids) ORDER BY r.prio, r.due, r.no);
    END IF;
END $$;

-- Settle, then claim. The first row returned is about the step: its `payload` is JSON.
--
-- Settlements come sorted by number; each names its lease by the place in `p_fences`. Kind 0 completes
-- a plain job, 1 a job that leaves no record; the others are Done, Retried, Failed, Snoozed, Released,
-- Cancelled and Stalled from 2 up, made in the order asked, `p_order`. Kind 9 completes a job that has
-- a group and else is plain.
CREATE FUNCTION {ns}_work(
    p_now BIGINT, p_fast BOOLEAN, p_fences BIGINT[], p_tokens TEXT[],
    p_nos BIGINT[], p_of INTEGER[], p_ids TEXT[], p_kinds INTEGER[], p_order INTEGER[],
    p_rans BIGINT[], p_delays BIGINT[], p_reasons TEXT[], p_bodies BYTEA[], p_want JSONB
) RETURNS TABLE (
    lane INTEGER, id TEXT, no BIGINT, flags INTEGER, payload BYTEA, options BYTEA,
    priority INTEGER, attempts INTEGER, max_crashes INTEGER, failures INTEGER, crashes INTEGER,
    created_at BIGINT, due_at BIGINT, expires_at BIGINT, group_key TEXT
) LANGUAGE plpgsql
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    v_now BIGINT := {ns}_begin(p_now, p_fast);
    v_listening BOOLEAN := {ns}_listening(v_now);
    v_moves {ns}_move[] := '{}';
    v_told {ns}_told[] := '{}';
    v_bad JSONB := '[]';
    v_woken TEXT[] := '{}';
    v_next_due BIGINT;
    v_part RECORD;
BEGIN
    IF p_nos IS NOT NULL THEN
        v_part := {ns}_settle(v_now, v_listening, p_fences, p_tokens, p_nos, p_of, p_ids, p_kinds,
            p_order, p_rans, p_delays, p_reasons, p_bodies);
        v_moves := v_part.o_moves;
        v_told := v_part.o_told;
        v_bad := v_part.o_bad;
    END IF;
    IF p_want IS NULL THEN
        v_woken := {ns}_woken(v_moves);
        RETURN QUERY SELECT NULL::INTEGER, NULL, NULL::BIGINT, NULL::INTEGER,
            convert_to(jsonb_build_object('now', v_now, 'listening', v_listening, 'bad', v_bad,
                'woken', v_woken)::TEXT, 'UTF8'),
            NULL::BYTEA, NULL::INTEGER, NULL::INTEGER, NULL::INTEGER, NULL::INTEGER,
            NULL::INTEGER, NULL::BIGINT, NULL::BIGINT, NULL::BIGINT, NULL;
        PERFORM {ns}_book(v_now, v_listening, v_moves, v_told);
        RETURN;
    END IF;
    IF {ns}_lock_limiters(p_want->'sources') AND p_now IS NULL THEN
        -- Who held them may have claimed since: what starts now is later than what was counted then.
        v_now := greatest(v_now, {ns}_begin(NULL, p_fast));
    END IF;
    v_part := {ns}_choose(p_want, v_now, v_listening, v_moves);
    v_next_due := v_part.o_next_due;
    IF v_part.o_queues IS NOT NULL THEN
        v_next_due := least(v_next_due, {ns}_opens_at(p_want->'sources', v_part.o_queues,
            v_part.o_tids, v_now));
    END IF;
    v_moves := v_moves || v_part.o_moves;
    v_woken := {ns}_woken(v_moves);
    v_told := v_told || v_part.o_told;
    RETURN QUERY SELECT NULL::INTEGER, NULL, NULL::BIGINT, NULL::INTEGER,
        convert_to(jsonb_build_object('now', v_now, 'listening', v_listening, 'bad', v_bad,
            'woken', v_woken, 'next_due', v_next_due, 'fence', v_part.o_fence, 'until',
            v_part.o_until, 'own', CASE WHEN v_part.o_again THEN (
                SELECT jsonb_object_agg(no, until) FROM {ns}_running
                WHERE lease = v_part.o_fence AND until > v_part.o_until) END)::TEXT, 'UTF8'),
        NULL::BYTEA, NULL::INTEGER, NULL::INTEGER, NULL::INTEGER, NULL::INTEGER,
        NULL::INTEGER, NULL::BIGINT, NULL::BIGINT, NULL::BIGINT, NULL;
    IF v_part.o_again THEN
        RETURN QUERY
        SELECT r.lane, j.id, j.no, r.flags::INTEGER, j.payload, j.options, -r.prio::INTEGER,
            j.attempts, j.max_crashes, r.failures, r.crashes, j.created_at, r.due, j.expires_at,
            CASE WHEN r.flags & 128 <> 0
                THEN (SELECT g.grp_key FROM {ns}_gated g WHERE g.no = r.no) END
        FROM {ns}_running r JOIN {ns}_job j ON j.no = r.no WHERE r.lease = v_part.o_fence
        ORDER BY r.prio, CASE WHEN r.flags & 4 <> 0 THEN -r.due ELSE r.due END,
            CASE WHEN r.flags & 4 <> 0 THEN -r.no ELSE r.no END;
    ELSIF cardinality(v_part.o_tids) > 0 THEN
        RETURN QUERY
        WITH d AS (
            DELETE FROM {ns}_ready WHERE ctid = ANY (v_part.o_tids) RETURNING *
        ), i AS (
            INSERT INTO {ns}_running (no, lease, queue, lane, prio, due, failures, crashes, flags)
            SELECT abs(no), v_part.o_fence, queue, lane, prio, abs(due), failures, crashes, flags
            FROM d
        )
        SELECT d.lane, j.id, j.no, d.flags::INTEGER, j.payload, j.options, -d.prio::INTEGER,
            j.attempts, j.max_crashes, d.failures, d.crashes, j.created_at, abs(d.due),
            j.expires_at, CASE WHEN d.flags & 128 <> 0
                THEN (SELECT g.grp_key FROM {ns}_gated g WHERE g.no = j.no) END
        FROM d JOIN {ns}_job j ON j.no = abs(d.no) ORDER BY d.prio, d.due, d.no;
    END IF;
    PERFORM {ns}_book(v_now, v_listening, v_moves, v_told);
END $$;

-- The numbers of the jobs that a claim would get, in order: it is made and undone.
CREATE FUNCTION {ns}_peek(p_now BIGINT, p_fast BOOLEAN, p_want JSONB) RETURNS BIGINT[]
LANGUAGE plpgsql
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_nos BIGINT[];
    v_part RECORD;
    v_tids TID[];
BEGIN
    BEGIN
        v_part := {ns}_choose(p_want, {ns}_begin(p_now, p_fast), false, '{}');
        v_tids := v_part.o_tids;
        IF v_part.o_again THEN
            v_nos := ARRAY(
                SELECT no FROM {ns}_running WHERE lease = v_part.o_fence
                ORDER BY prio, CASE WHEN flags & 4 <> 0 THEN -due ELSE due END,
                    CASE WHEN flags & 4 <> 0 THEN -no ELSE no END);
        ELSE
            v_nos := ARRAY(
                SELECT abs(no) FROM {ns}_ready WHERE ctid = ANY (v_tids) ORDER BY prio, due, no);
        END IF;
        RAISE EXCEPTION 'undo' USING ERRCODE = 'JY000';
    EXCEPTION WHEN SQLSTATE 'JY000' THEN
        NULL;
    END;
    RETURN v_nos;
END $$;
