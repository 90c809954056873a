-- Dependencies: what the end of a job means for those that wait for it, and for its record.

-- Whether a job's record has to stay for an unfinished one (DEP-4).
CREATE FUNCTION {ns}_is_needed(p_flags INTEGER, p_id TEXT) RETURNS BOOLEAN
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN p_flags & 1024 <> 0
        AND EXISTS (SELECT 1 FROM {ns}_dep WHERE parent = p_id AND attached);
END $$;

-- Jobs, and those that wait for them, and those that wait for these.
CREATE FUNCTION {ns}_with_dependants(p_nos BIGINT[]) RETURNS BIGINT[]
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN ARRAY(
        WITH RECURSIVE r AS (
            SELECT no, id, flags FROM {ns}_job WHERE no = ANY (p_nos)
            UNION
            SELECT c.no, c.id, c.flags FROM r
            JOIN {ns}_dep d ON r.flags & 1024 <> 0 AND d.parent = r.id AND d.waits
            JOIN {ns}_job c ON c.no = d.child
        ) SELECT no FROM r);
END $$;

CREATE FUNCTION {ns}_gates_of(p_nos BIGINT[]) RETURNS BIGINT[]
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN ARRAY(
        SELECT u.id FROM {ns}_gated g CROSS JOIN LATERAL unnest(ARRAY[g.grp, g.rate]) u(id)
        WHERE g.no = ANY (p_nos) AND u.id IS NOT NULL);
END $$;

-- Lock jobs and all that their ends may move: the gates of jobs first, those of their dependants
-- too, unless they are in `p_gates`, which are locked. What came to be while this waited is not
-- locked in its turn: then the step is begun again.
CREATE FUNCTION {ns}_lock_jobs(p_nos BIGINT[], p_gates BIGINT[] DEFAULT '{}') RETURNS VOID
LANGUAGE plpgsql AS $$
DECLARE
    v_tied BIGINT[] := ARRAY(
        SELECT no FROM {ns}_job WHERE no = ANY (p_nos) AND flags & 1408 <> 0);
    v_all BIGINT[] := p_nos;
    v_gates BIGINT[] := p_gates;
    v_now_tied BIGINT[];
BEGIN
    IF cardinality(v_tied) > 0 THEN
        v_tied := {ns}_with_dependants(v_tied);
        v_all := p_nos || v_tied;
        IF p_gates = '{}' THEN
            v_gates := {ns}_gates_of(v_tied);
            PERFORM {ns}_lock_gates(v_gates);
        END IF;
    END IF;
    -- Materialized: a condition that came to stand inside would leave the others unlocked.
    WITH x AS MATERIALIZED (
        SELECT no, flags FROM {ns}_job
        WHERE no = ANY (ARRAY(SELECT DISTINCT u.no FROM unnest(v_all) u(no) ORDER BY 1))
        ORDER BY no FOR UPDATE)
    SELECT coalesce(array_agg(no), '{}') INTO v_now_tied FROM x WHERE flags & 1408 <> 0;
    IF cardinality(v_now_tied) > 0 AND NOT (
        {ns}_with_dependants(v_now_tied) <@ v_all AND {ns}_gates_of(v_now_tied) <@ v_gates
    ) THEN
        RAISE EXCEPTION 'jobs came to depend on those that end' USING ERRCODE = '40001';
    END IF;
END $$;

-- Those of some jobs that have gates or dependants, locked with all that their ends may move.
CREATE FUNCTION {ns}_lock_tied(p_nos BIGINT[]) RETURNS BIGINT[]
LANGUAGE plpgsql AS $$
DECLARE
    v_tied BIGINT[] := ARRAY(
        SELECT no FROM {ns}_job WHERE no = ANY (p_nos) AND flags & 1408 <> 0);
BEGIN
    IF cardinality(v_tied) > 0 THEN
        PERFORM {ns}_lock_jobs(v_tied);
    END IF;
    RETURN v_tied;
END $$;

CREATE FUNCTION {ns}_no_news() RETURNS {ns}_news
LANGUAGE sql IMMUTABLE AS $$
    SELECT ROW('{}'::{ns}_move[], '{}'::{ns}_told[], '{}'::{ns}_ended[])::{ns}_news
$$;

-- Note for its gates, its parents and its children that a job ends in a state, or goes (null). One
-- that stalls has not ended for its children: it waits for a person, and they for it.
CREATE FUNCTION {ns}_let_go(s {ns}_standing, p_now BIGINT, p_state INTEGER) RETURNS {ns}_news
LANGUAGE plpgsql AS $$
DECLARE
    n {ns}_news := {ns}_no_news();
BEGIN
    IF s.flags & 384 <> 0 THEN
        n := {ns}_strike(n, s.no, p_now);
    END IF;
    IF s.flags & 512 <> 0 THEN
        UPDATE {ns}_dep SET attached = false, waits = false WHERE child = s.no;
    END IF;
    IF s.flags & 1024 <> 0 AND p_state IS DISTINCT FROM 7 THEN
        n.ended := ARRAY[ROW(s.id, coalesce(p_state = 4, false))::{ns}_ended];
    END IF;
    RETURN n;
END $$;

-- Make and lock the gates of those of some jobs, given by id, that have finished.
CREATE FUNCTION {ns}_reopen_gates(p_ids TEXT[]) RETURNS BIGINT[]
LANGUAGE plpgsql AS $$
DECLARE
    v_nos BIGINT[] := ARRAY(
        SELECT no FROM {ns}_job WHERE id = ANY (p_ids) AND flags & 1408 <> 0);
    v_queues INTEGER[];
    v_kinds INTEGER[];
    v_keys TEXT[];
    v_rooms BIGINT[];
    v_pers BIGINT[];
BEGIN
    SELECT array_agg(j.queue), array_agg(u.kind), array_agg(u.key), array_agg(u.room),
        array_agg(u.per)
    INTO v_queues, v_kinds, v_keys, v_rooms, v_pers
    FROM {ns}_job j JOIN {ns}_gated g ON g.no = j.no CROSS JOIN LATERAL unnest(
        ARRAY[0, 1], ARRAY[g.grp_key, g.rate_key], ARRAY[g.places, g.starts],
        ARRAY[NULL, g.per_ms]) u(kind, key, room, per)
    WHERE j.no = ANY (v_nos) AND u.key IS NOT NULL;
    IF v_keys IS NULL THEN
        RETURN '{}';
    END IF;
    RETURN {ns}_open_gates(v_queues, v_kinds, v_keys, v_rooms, v_pers,
        {ns}_gates_of({ns}_with_dependants(v_nos)), 0);
END $$;

-- Let jobs and gates know again of one that is to run again after all; it waits for no parent.
CREATE FUNCTION {ns}_take_up(s {ns}_standing) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    IF s.flags & 384 <> 0 THEN
        PERFORM {ns}_enrol(s.no,
            (SELECT e.id FROM {ns}_gated g JOIN {ns}_gate e
                ON e.queue = s.queue AND e.kind = 0 AND e.key = g.grp_key WHERE g.no = s.no),
            (SELECT e.id FROM {ns}_gated g JOIN {ns}_gate e
                ON e.queue = s.queue AND e.kind = 1 AND e.key = g.rate_key WHERE g.no = s.no));
    END IF;
    IF s.flags & 512 <> 0 THEN
        UPDATE {ns}_dep d SET attached = true WHERE d.child = s.no
            AND EXISTS (SELECT 1 FROM {ns}_job j WHERE j.id = d.parent AND j.flags & 1024 <> 0);
    END IF;
END $$;

-- Let a held job know that others depend on it.
CREATE FUNCTION {ns}_make_parent(s {ns}_standing) RETURNS VOID
LANGUAGE plpgsql AS $$
DECLARE
    v_sign INTEGER := CASE WHEN s.flags & 4 <> 0 THEN -1 ELSE 1 END;
BEGIN
    IF s.flags & 1024 <> 0 THEN
        RETURN;
    END IF;
    UPDATE {ns}_job SET flags = flags | 1024::SMALLINT WHERE no = s.no;
    IF s.state = 0 THEN
        UPDATE {ns}_ready SET flags = flags | 1024::SMALLINT
        WHERE queue = s.ready_queue AND prio = s.prio AND due = v_sign * s.due
            AND no = v_sign * s.no;
    ELSIF s.state = 1 THEN
        UPDATE {ns}_delayed SET flags = flags | 1024::SMALLINT
        WHERE queue = s.queue AND due = s.due AND no = s.no;
    ELSIF s.state = 2 THEN
        UPDATE {ns}_blocked SET flags = flags | 1024::SMALLINT WHERE no = v_sign * s.no;
    ELSIF s.state = 3 THEN
        UPDATE {ns}_running SET flags = flags | 1024::SMALLINT WHERE no = s.no;
    END IF;
END $$;

CREATE FUNCTION {ns}_add_news(n {ns}_news, m {ns}_news) RETURNS {ns}_news
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF m.moves IS NOT NULL THEN
        n.moves := n.moves || m.moves;
        n.told := n.told || m.told;
        n.ended := n.ended || m.ended;
    END IF;
    RETURN n;
END $$;

-- End a job that has left its state because of a parent.
CREATE FUNCTION {ns}_fail_child(
    n {ns}_news, s {ns}_standing, p_now BIGINT, p_from INTEGER, p_room INTEGER
) RETURNS {ns}_news LANGUAGE plpgsql AS $$
DECLARE
    v_state INTEGER := CASE WHEN s.flags & 2 <> 0 THEN 8 ELSE 5 END;
    v_end RECORD;
BEGIN
    SELECT * INTO v_end FROM {ns}_finish(s, p_now, v_state, s.failures, s.crashes, s.settled,
        'dependency', NULL, s.error, p_room);
    n.told := n.told || ROW('failed', s.queue_name, s.id, s.name, NULL, NULL, NULL, NULL)
        ::{ns}_told;
    n.moves := n.moves || ARRAY[
        ROW(s.queue, p_from, CASE WHEN v_end.o_kept THEN v_state END, 3, 1, 0, false),
        ROW(s.queue, v_state, NULL, NULL, v_end.o_removed, 0, false)]::{ns}_move[];
    RETURN {ns}_add_news(n, v_end.o_news);
END $$;

-- Tell the children of the jobs that have ended or gone in this step, and theirs (DEP-3).
CREATE FUNCTION {ns}_resolve(n {ns}_news, p_now BIGINT) RETURNS {ns}_news
LANGUAGE plpgsql AS $$
DECLARE
    i INTEGER := 0;
    s {ns}_standing;
    p {ns}_ended;
    c RECORD;
BEGIN
    WHILE i < cardinality(n.ended) LOOP
        i := i + 1;
        p := n.ended[i];
        FOR c IN
            SELECT DISTINCT ON (child) child, ignored FROM {ns}_dep
            WHERE parent = p.id AND waits ORDER BY child, at
        LOOP
            s := {ns}_hold(c.child);
            IF NOT (p.completed OR c.ignored) THEN
                PERFORM {ns}_leave(s);
                n := {ns}_fail_child(n, s, p_now, s.state, 1000);
                CONTINUE;
            END IF;
            UPDATE {ns}_dep SET waits = false WHERE child = c.child AND parent = p.id;
            IF NOT EXISTS (SELECT 1 FROM {ns}_dep WHERE child = c.child AND waits) THEN
                PERFORM {ns}_leave(s);
                n.moves := n.moves || ROW(s.queue, s.state, {ns}_enqueue(s, p_now,
                    CASE WHEN s.due > p_now THEN 1 ELSE 0 END, greatest(s.due, p_now), s.prio,
                    s.failures, s.crashes), NULL, 1, 0, false)::{ns}_move;
            END IF;
        END LOOP;
        IF NOT EXISTS (SELECT 1 FROM {ns}_job WHERE id = p.id) THEN
            -- Of a child that waits no more and is in others' hands, they tell that it has ended.
            UPDATE {ns}_dep SET attached = false WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM {ns}_dep WHERE parent = p.id AND attached
                FOR UPDATE SKIP LOCKED));
        END IF;
    END LOOP;
    n.ended := '{}';
    RETURN n;
END $$;

-- The queues in which jobs that were blocked may be claimed, or will be.
CREATE FUNCTION {ns}_woken(p_moves {ns}_move[]) RETURNS TEXT[]
LANGUAGE plpgsql AS $$
BEGIN
    RETURN ARRAY(
        SELECT DISTINCT q.name FROM unnest(p_moves) m JOIN {ns}_queue q ON q.id = m.queue
        WHERE m.source = 2 AND m.target <= 1);
END $$;
