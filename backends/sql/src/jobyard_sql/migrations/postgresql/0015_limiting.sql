-- Limits and holds: how much a queue ('*'), or a name in it, may give now. A claim locks the entries
-- of its queues after its settlements, then counts, and gives that much: jobs do not move for them.

-- Set the limit of a queue or a name, or with `p_ms` hold it. The same rate goes on counting.
CREATE FUNCTION {ns}_limit(
    p_now BIGINT, p_fast BOOLEAN, p_queue TEXT, p_name TEXT, p_concurrency BIGINT,
    p_starts BIGINT, p_per BIGINT, p_ms BIGINT
) RETURNS VOID LANGUAGE plpgsql
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_now BIGINT := {ns}_begin(p_now, p_fast);
    v_queue INTEGER;
    l {ns}_limiter;
BEGIN
    SELECT o_id INTO v_queue FROM {ns}_known_queue(p_queue);
    LOOP
        INSERT INTO {ns}_limiter (queue, name, held_until) VALUES (v_queue, p_name, 0)
        ON CONFLICT DO NOTHING;
        SELECT * INTO l FROM {ns}_limiter WHERE queue = v_queue AND name = p_name FOR UPDATE;
        EXIT WHEN FOUND; -- else it was spent and forgotten meanwhile
    END LOOP;
    IF p_ms IS NOT NULL THEN
        UPDATE {ns}_limiter
        SET held_until = CASE WHEN p_ms = 0 THEN 0 ELSE greatest(held_until, v_now + p_ms) END
        WHERE queue = v_queue AND name = p_name;
    ELSE
        UPDATE {ns}_limiter SET concurrency = p_concurrency, starts = p_starts, per_ms = p_per
        WHERE queue = v_queue AND name = p_name;
        IF (l.starts, l.per_ms) IS DISTINCT FROM (p_starts, p_per) THEN
            DELETE FROM {ns}_start WHERE queue = v_queue AND name = p_name;
        END IF;
    END IF;
    DELETE FROM {ns}_limiter WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {ns}_limiter
        WHERE queue = v_queue AND concurrency IS NULL AND starts IS NULL AND held_until <= v_now
        FOR UPDATE SKIP LOCKED));
END $$;

-- The lanes that sources ask for, each with its queue and name, and the source's place and limit.
CREATE FUNCTION {ns}_lanes_of(p_sources JSONB)
RETURNS TABLE (place INTEGER, most INTEGER, queue INTEGER, lane INTEGER, name TEXT)
LANGUAGE sql STABLE AS $$
    SELECT x.at::INTEGER, x."limit", q.id, l.id, l.name
    FROM ROWS FROM (jsonb_to_recordset(p_sources)
        AS (queue TEXT, names TEXT[], channels TEXT[], "limit" INTEGER))
        WITH ORDINALITY AS x(queue, names, channels, "limit", at)
    JOIN {ns}_queue q ON q.name = x.queue AND NOT q.paused AND NOT q.closing
    JOIN {ns}_lane l ON l.queue = q.id
    WHERE x."limit" > 0 AND (x.names IS NULL OR l.name = ANY (x.names))
        AND (x.channels IS NULL OR l.channel = ANY (x.channels))
$$;

-- Lock the limiters of the queues of some sources; tell whether there are any.
CREATE FUNCTION {ns}_lock_limiters(p_sources JSONB) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM {ns}_limiter) THEN
        RETURN false;
    END IF;
    PERFORM 1 FROM {ns}_limiter e
    WHERE e.queue = ANY (ARRAY(SELECT q.id FROM {ns}_queue q
        WHERE q.name = ANY (ARRAY(SELECT x->>'queue' FROM jsonb_array_elements(p_sources) x))))
    ORDER BY e.queue, e.name FOR UPDATE;
    RETURN FOUND;
END $$;

-- How many jobs the limiters of some queues allow, having locked them. `p_moves` are those of this
-- step, which the gauges do not show yet.
CREATE FUNCTION {ns}_rooms(
    p_queues INTEGER[], p_now BIGINT, p_moves {ns}_move[],
    OUT o_queues INTEGER[], OUT o_names TEXT[], OUT o_rooms BIGINT[]
) LANGUAGE plpgsql AS $$
DECLARE
    l {ns}_limiter;
    v_room BIGINT;
    v_active BIGINT;
BEGIN
    o_queues := '{}';
    o_names := '{}';
    o_rooms := '{}';
    PERFORM 1 FROM {ns}_limiter e WHERE e.queue = ANY (p_queues)
    ORDER BY e.queue, e.name FOR UPDATE;
    FOR l IN
        SELECT * FROM {ns}_limiter e WHERE e.queue = ANY (p_queues) ORDER BY e.queue, e.name
    LOOP
        v_room := CASE WHEN l.held_until > p_now THEN 0 ELSE 1000 END;
        IF v_room > 0 AND l.concurrency IS NOT NULL THEN
            IF l.name = '*' THEN
                v_active := (SELECT coalesce(sum(g.active), 0) FROM {ns}_gauge g
                    WHERE g.queue = l.queue) + (
                    SELECT coalesce(sum(CASE WHEN m.target = 3 THEN m.n ELSE 0 END
                        - CASE WHEN m.source = 3 THEN m.n ELSE 0 END), 0)
                    FROM unnest(p_moves) m WHERE m.queue = l.queue);
            ELSE
                v_active := (SELECT count(*) FROM (
                    SELECT 1 FROM {ns}_running r WHERE r.lane = ANY (ARRAY(
                        SELECT e.id FROM {ns}_lane e WHERE e.queue = l.queue AND e.name = l.name))
                    LIMIT l.concurrency) x);
            END IF;
            v_room := least(v_room, l.concurrency - v_active);
        END IF;
        IF v_room > 0 AND l.starts IS NOT NULL THEN
            v_room := least(v_room, l.starts - (SELECT coalesce(sum(s.n), 0) FROM {ns}_start s
                WHERE s.queue = l.queue AND s.name = l.name AND s.at > p_now - l.per_ms));
        END IF;
        o_queues := o_queues || l.queue;
        o_names := o_names || l.name;
        o_rooms := o_rooms || greatest(v_room, 0);
    END LOOP;
END $$;

-- Choose and lock, as {ns}_head does, what the sources give of queues of which some are limited.
-- What is limited is passed over as if it did not wait.
CREATE FUNCTION {ns}_limited_head(
    p_sources JSONB, p_limit INTEGER, p_queues INTEGER[], p_now BIGINT, p_moves {ns}_move[],
    OUT o_tids TID[], OUT o_more BOOLEAN
) LANGUAGE plpgsql AS $$
DECLARE
    v_rooms RECORD;
    v_left BIGINT[];
    v_given INTEGER[] := array_fill(0, ARRAY[jsonb_array_length(p_sources)]);
    v_passed BOOLEAN := false;
    c RECORD;
BEGIN
    o_tids := '{}';
    v_rooms := {ns}_rooms(p_queues, p_now, p_moves);
    v_left := v_rooms.o_rooms;
    FOR c IN
        SELECT h.*, k.place, k.most, k.whole, k.own
        FROM (
            SELECT n.*, a.at AS whole, b.at AS own,
                least(p_limit, n.most, v_left[a.at], v_left[b.at]) AS room
            FROM {ns}_lanes_of(p_sources) n
            LEFT JOIN unnest(v_rooms.o_queues, v_rooms.o_names) WITH ORDINALITY a(queue, name, at)
                ON a.queue = n.queue AND a.name = '*'
            LEFT JOIN unnest(v_rooms.o_queues, v_rooms.o_names) WITH ORDINALITY b(queue, name, at)
                ON b.queue = n.queue AND b.name = n.name) k
        CROSS JOIN LATERAL (
            SELECT r.ctid AS tid, r.prio, r.due, r.no FROM {ns}_ready r WHERE r.lane = k.lane
            ORDER BY r.prio, r.due, r.no LIMIT 4 * k.room) h
        WHERE k.room > 0
        ORDER BY h.prio, h.due, h.no
    LOOP
        CONTINUE WHEN v_given[c.place] >= c.most OR v_left[c.whole] <= 0 OR v_left[c.own] <= 0
            OR c.tid = ANY (o_tids);
        PERFORM 1 FROM {ns}_ready r WHERE r.ctid = c.tid AND r.no = c.no FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            v_passed := true;
            CONTINUE;
        END IF;
        o_tids := o_tids || c.tid;
        v_given[c.place] := v_given[c.place] + 1;
        IF c.whole IS NOT NULL THEN
            v_left[c.whole] := v_left[c.whole] - 1;
        END IF;
        IF c.own IS NOT NULL THEN
            v_left[c.own] := v_left[c.own] - 1;
        END IF;
        EXIT WHEN cardinality(o_tids) = p_limit;
    END LOOP;
    o_more := v_passed AND cardinality(o_tids) < p_limit;
END $$;

-- Note what a claim starts, for the limiters with rates.
CREATE FUNCTION {ns}_count_starts(p_tids TID[], p_queues INTEGER[], p_now BIGINT) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM {ns}_start s USING {ns}_limiter l
    WHERE l.queue = ANY (p_queues) AND l.starts IS NOT NULL AND s.queue = l.queue
        AND s.name = l.name AND s.at <= p_now - l.per_ms;
    INSERT INTO {ns}_start AS s (queue, name, at, n)
    SELECT l.queue, l.name, p_now, count(*)
    FROM {ns}_ready r JOIN {ns}_lane e ON e.id = r.lane
    JOIN {ns}_limiter l ON l.queue = r.queue AND l.name IN ('*', e.name)
    WHERE r.ctid = ANY (p_tids) AND l.starts IS NOT NULL GROUP BY l.queue, l.name
    ON CONFLICT (queue, name, at) DO UPDATE SET n = s.n + excluded.n;
END $$;

-- From when what waits and is kept back by a hold or a rate may be given (LIMIT-5); `p_tids` are the
-- jobs that the claim has chosen.
CREATE FUNCTION {ns}_opens_at(p_sources JSONB, p_queues INTEGER[], p_tids TID[], p_now BIGINT)
RETURNS BIGINT LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        WITH o AS MATERIALIZED (
            SELECT l.queue, l.name, greatest(l.held_until, CASE WHEN s.n >= l.starts
                THEN s.first + l.per_ms END) AS at
            FROM {ns}_limiter l CROSS JOIN LATERAL (
                SELECT sum(e.n) AS n, min(e.at) AS first FROM {ns}_start e
                WHERE e.queue = l.queue AND e.name = l.name AND e.at > p_now - l.per_ms) s
            WHERE l.queue = ANY (p_queues)
        ), k AS MATERIALIZED (
            SELECT n.lane, greatest(a.at, b.at) AS at FROM {ns}_lanes_of(p_sources) n
            LEFT JOIN o a ON a.queue = n.queue AND a.name = '*'
            LEFT JOIN o b ON b.queue = n.queue AND b.name = n.name
            WHERE greatest(a.at, b.at) > p_now
        )
        SELECT min(k.at) FROM k WHERE EXISTS (
            SELECT 1 FROM {ns}_ready r WHERE r.lane = k.lane AND r.ctid <> ALL (p_tids)
                AND (r.flags & 64 = 0 OR EXISTS (SELECT 1 FROM {ns}_job j
                    WHERE j.no = abs(r.no) AND j.expires_at > p_now))));
END $$;
