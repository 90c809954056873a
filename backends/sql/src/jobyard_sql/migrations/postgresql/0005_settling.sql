-- End runs: plain completed ones by one statement for all, the others one by one.

-- Settle one run whose job is held. `p_kind` is as in {ns}_work; the moves and events are added.
CREATE FUNCTION {ns}_end_run(
    s {ns}_standing, p_now BIGINT, p_kind INTEGER, p_ran BIGINT, p_delay BIGINT, p_reason TEXT,
    p_body BYTEA, p_room INTEGER, OUT o_moves {ns}_move[], OUT o_told {ns}_told[],
    OUT o_removed INTEGER, OUT o_news {ns}_news
) LANGUAGE plpgsql AS $$
DECLARE
    v_state INTEGER;
    v_failures INTEGER := s.failures;
    v_counted BOOLEAN := p_kind = 3 OR p_kind = 8
        OR p_kind = 4 AND p_reason IN ('exhausted', 'refused');
    v_tally INTEGER;
    v_ran BIGINT := CASE WHEN p_kind IN (2, 3, 4, 8) THEN p_ran ELSE 0 END;
    v_kept BOOLEAN;
    v_end RECORD;
    v_told TEXT[];
    v_kind TEXT;
    v_body BYTEA := CASE WHEN p_kind IN (2, 3, 4, 8) THEN p_body END;
BEGIN
    o_removed := 0;
    IF v_counted THEN
        v_failures := v_failures + 1;
    END IF;
    PERFORM {ns}_leave(s);
    IF p_kind IN (3, 5, 6) THEN
        PERFORM {ns}_remember(s, true, CASE WHEN p_kind = 3 THEN p_body ELSE s.error END);
        v_state := {ns}_enqueue(s, p_now, CASE WHEN p_kind <> 6 AND p_delay > 0 THEN 1 ELSE 0 END,
            CASE WHEN p_kind = 6 THEN s.due ELSE p_now + greatest(p_delay, 0) END, s.prio,
            v_failures, s.crashes);
        v_tally := CASE WHEN p_kind = 3 THEN 4 END;
    ELSE
        v_state := CASE p_kind WHEN 2 THEN 4 WHEN 7 THEN 6 WHEN 8 THEN 7
            ELSE CASE WHEN s.flags & 2 <> 0 THEN 8 ELSE 5 END END;
        v_end := {ns}_finish(s, p_now, v_state, v_failures, s.crashes, true,
            CASE WHEN p_kind = 4 THEN p_reason END, CASE WHEN p_kind = 2 THEN p_body END,
            CASE WHEN p_kind IN (4, 8) THEN p_body ELSE s.error END, p_room);
        v_kept := v_end.o_kept;
        o_removed := v_end.o_removed;
        o_news := v_end.o_news;
        v_tally := {ns}_tally_of(v_state);
    END IF;
    o_moves := ARRAY[
        ROW(s.queue, 3, CASE WHEN v_kept IS NOT false THEN v_state END, v_tally, 1, v_ran, false)
            ::{ns}_move,
        ROW(s.queue, v_state, NULL, NULL, o_removed, 0, false)::{ns}_move];
    v_told := CASE p_kind WHEN 2 THEN '{completed}' WHEN 3 THEN '{attempt_failed}'
        WHEN 4 THEN CASE WHEN v_counted THEN '{attempt_failed,failed}' ELSE '{failed}' END
        WHEN 5 THEN '{snoozed}' WHEN 6 THEN '{released}' WHEN 7 THEN '{cancelled}'
        ELSE '{stalled}' END::TEXT[];
    o_told := '{}';
    FOREACH v_kind IN ARRAY v_told LOOP
        o_told := o_told || ROW(v_kind, s.queue_name, s.id, s.name, s.worker, s.failures + 1,
            p_ran, v_body)::{ns}_told;
    END LOOP;
END $$;

-- Settle. `o_bad` has what did not go as asked: pairs of place and code (1 already, 2 lost, 3 gone).
CREATE FUNCTION {ns}_settle(
    p_now BIGINT, p_listening BOOLEAN, p_fences BIGINT[], p_tokens TEXT[],
    p_nos BIGINT[], p_of INTEGER[], p_ids TEXT[], p_kinds INTEGER[], p_order INTEGER[],
    p_rans BIGINT[], p_delays BIGINT[], p_reasons TEXT[], p_bodies BYTEA[],
    OUT o_moves {ns}_move[], OUT o_told {ns}_told[], OUT o_bad JSONB
) LANGUAGE plpgsql AS $$
DECLARE
    v_held BIGINT[];
    v_ended BIGINT[] := '{}';
    v_dropped BIGINT[] := '{}';
    v_slow BOOLEAN := p_kinds IS NOT NULL;
    v_room INTEGER := 1000;
    v_code INTEGER;
    v_end RECORD;
    n {ns}_news := {ns}_no_news();
    s {ns}_standing;
    x RECORD;
BEGIN
    o_told := '{}';
    o_bad := '[]';
    IF v_slow THEN
        PERFORM {ns}_lock_jobs(ARRAY(
            SELECT u.no FROM unnest(p_nos, p_kinds) u(no, kind) WHERE u.kind > 0));
    END IF;
    v_held := {ns}_lock_leases(p_fences, p_tokens);
    WITH f AS (
        DELETE FROM {ns}_running r
        USING unnest(p_nos, p_of, p_kinds, p_rans, p_bodies) u(no, place, kind, ran, body)
        WHERE r.no = u.no AND r.lease = v_held[u.place] AND (
            coalesce(u.kind, 0) = 0 AND r.flags & -2128 = 0
            OR u.kind = 9 AND r.flags & -2128 = 128)
        RETURNING r.no, r.queue, r.lease, r.failures, r.crashes, u.ran, u.body
    ), i AS (
        INSERT INTO {ns}_done (no, queue, state, finished_at, lease, started_at, worker, failures,
            crashes, settled, result)
        SELECT f.no, f.queue, 4, p_now, f.lease, l.started_at, l.worker, f.failures, f.crashes,
            true, f.body
        FROM f JOIN {ns}_lease l ON l.no = f.lease
    ), h AS (
        UPDATE {ns}_lease l SET held = l.held - g.n
        FROM (SELECT lease, count(*) AS n FROM f GROUP BY lease) g WHERE l.no = g.lease
    )
    SELECT ARRAY(SELECT no FROM f), ARRAY(
        SELECT ROW(queue, 3, 4, 2, count(*), sum(ran), false)::{ns}_move FROM f GROUP BY queue)
    INTO v_ended, o_moves;
    IF p_listening AND cardinality(v_ended) > 0 THEN
        o_told := ARRAY(
            SELECT ROW('completed', q.name, j.id, e.name, d.worker, d.failures + 1, u.ran,
                u.body)::{ns}_told
            FROM unnest(p_nos, p_rans, p_bodies) u(no, ran, body)
            JOIN {ns}_done d ON d.no = u.no JOIN {ns}_job j ON j.no = u.no
            JOIN {ns}_lane e ON e.id = j.lane JOIN {ns}_queue q ON q.id = j.queue
            WHERE u.no = ANY (v_ended));
    END IF;
    IF 9 = ANY (p_kinds) THEN
        n := {ns}_give_places(ARRAY(
            SELECT u.no FROM unnest(p_nos, p_kinds) u(no, kind)
            WHERE u.kind = 9 AND u.no = ANY (v_ended)), p_now);
    END IF;
    IF NOT v_slow AND cardinality(v_ended) = cardinality(p_nos) THEN
        RETURN;
    END IF;
    IF 1 = ANY (p_kinds) THEN
        v_end := {ns}_drop_runs(p_listening, v_held, p_nos, p_of, p_kinds, p_rans, p_bodies);
        v_dropped := v_end.o_nos;
        o_moves := o_moves || v_end.o_moves;
        o_told := o_told || v_end.o_told;
    END IF;
    FOR x IN
        SELECT u.*, p_fences[u.place] AS fence, v_held[u.place] AS held
        FROM unnest(p_nos, p_of, p_ids, p_kinds, p_order, p_rans, p_delays, p_reasons, p_bodies)
            WITH ORDINALITY u(no, place, id, kind, turn, ran, delay, reason, body, at)
        WHERE u.kind BETWEEN 2 AND 8
            OR u.no <> ALL (v_ended) AND u.no <> ALL (v_dropped)
        ORDER BY u.turn, u.at
    LOOP
        IF NOT EXISTS (SELECT 1 FROM {ns}_running WHERE no = x.no AND lease = x.held) THEN
            -- A run that its locked lease does not cover any more never comes back: to look is enough.
            SELECT * INTO s FROM {ns}_standing WHERE id = x.id;
            v_code := CASE
                WHEN NOT FOUND THEN 3
                -- A lease of that number with another token is not the one that settled.
                WHEN s.fence = x.fence AND s.state <> 3 AND s.settled AND (x.held > 0
                    OR NOT EXISTS (SELECT 1 FROM {ns}_lease WHERE no = x.fence)) THEN 1
                ELSE 2 END;
            o_bad := o_bad || jsonb_build_array(jsonb_build_array(x.at - 1, v_code));
            CONTINUE;
        ELSIF coalesce(x.kind, 0) = 0 THEN
            -- What others came to wait for since it was claimed is not locked in its turn.
            RAISE EXCEPTION 'job % is not plain any more', x.id USING ERRCODE = 'JY001';
        END IF;
        s := {ns}_hold(x.no);
        v_end := {ns}_end_run(s, p_now,
            CASE WHEN x.kind BETWEEN 2 AND 8 THEN x.kind ELSE 2 END, x.ran, x.delay,
            x.reason, x.body, v_room);
        v_room := v_room - v_end.o_removed;
        n := {ns}_add_news(n, v_end.o_news);
        o_moves := o_moves || v_end.o_moves;
        o_told := o_told || v_end.o_told;
    END LOOP;
    IF n.ended <> '{}' THEN
        n := {ns}_resolve(n, p_now);
    END IF;
    o_moves := o_moves || n.moves;
    o_told := o_told || n.told;
END $$;

-- Complete the runs of jobs that leave no record.
CREATE FUNCTION {ns}_drop_runs(
    p_listening BOOLEAN, p_held BIGINT[], p_nos BIGINT[], p_of INTEGER[], p_kinds INTEGER[],
    p_rans BIGINT[], p_bodies BYTEA[],
    OUT o_nos BIGINT[], OUT o_moves {ns}_move[], OUT o_told {ns}_told[]
) LANGUAGE plpgsql AS $$
BEGIN
    o_told := '{}';
    IF p_listening THEN
        o_told := ARRAY(
            SELECT ROW('completed', q.name, j.id, e.name, l.worker, r.failures + 1, u.ran,
                u.body)::{ns}_told
            FROM unnest(p_nos, p_of, p_kinds, p_rans, p_bodies) u(no, place, kind, ran, body)
            JOIN {ns}_running r ON r.no = u.no AND r.lease = p_held[u.place]
            JOIN {ns}_lease l ON l.no = r.lease JOIN {ns}_job j ON j.no = u.no
            JOIN {ns}_lane e ON e.id = j.lane JOIN {ns}_queue q ON q.id = j.queue
            WHERE u.kind = 1 AND r.flags & 1920 = 0);
    END IF;
    WITH f AS (
        DELETE FROM {ns}_running r
        USING unnest(p_nos, p_of, p_kinds, p_rans) u(no, place, kind, ran)
        WHERE r.no = u.no AND r.lease = p_held[u.place] AND u.kind = 1 AND r.flags & 1920 = 0
        RETURNING r.no, r.queue, r.lease, u.ran
    ), h AS (
        UPDATE {ns}_lease l SET held = l.held - g.n
        FROM (SELECT lease, count(*) AS n FROM f GROUP BY lease) g WHERE l.no = g.lease
    )
    SELECT ARRAY(SELECT no FROM f), ARRAY(
        SELECT ROW(queue, 3, NULL, 2, count(*), sum(ran), false)::{ns}_move FROM f GROUP BY queue)
    INTO o_nos, o_moves;
    PERFORM {ns}_erase(o_nos);
END $$;
