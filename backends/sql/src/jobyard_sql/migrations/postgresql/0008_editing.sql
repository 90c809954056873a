-- What people and programs change from outside a run.

-- Change one held job. Codes: 0 done, 1 asked, 3 wrong state.
CREATE FUNCTION {ns}_change_one(
    s {ns}_standing, p_now BIGINT, p_kind TEXT, p_due BIGINT, p_prio INTEGER, p_yes BOOLEAN,
    p_to INTEGER, p_result BYTEA, p_error BYTEA, p_room INTEGER,
    OUT o_code INTEGER, OUT o_state INTEGER, OUT o_removed INTEGER, OUT o_moves {ns}_move[],
    OUT o_told {ns}_told[], OUT o_news {ns}_news
) LANGUAGE plpgsql AS $$
DECLARE
    v_finished BOOLEAN := s.state > 3;
    v_was_due BOOLEAN := s.state = 1 AND s.due <= p_now;
    v_due BIGINT;
    v_tally INTEGER;
    v_kept BOOLEAN := true;
    v_told TEXT;
    v_of_run BOOLEAN := false;
    v_error BYTEA := s.error;
    v_data BYTEA;
    v_end RECORD;
BEGIN
    o_code := 0;
    o_state := s.state;
    o_removed := 0;
    o_moves := '{}';
    o_told := '{}';
    IF p_kind = 'payload' AND NOT v_finished THEN
        UPDATE {ns}_job SET payload = p_result WHERE no = s.no;
        RETURN;
    ELSIF p_kind = 'progress' AND s.state = 3 THEN
        INSERT INTO {ns}_progress (no, body) VALUES (s.no, p_result)
        ON CONFLICT (no) DO UPDATE SET body = excluded.body;
        o_told := ARRAY[ROW('progress', s.queue_name, s.id, s.name, s.worker, s.failures + 1,
            NULL, p_result)::{ns}_told];
        RETURN;
    ELSIF p_kind = 'cancel' AND s.state = 3 AND p_yes THEN
        UPDATE {ns}_job SET flags = flags | 1::SMALLINT WHERE no = s.no;
        UPDATE {ns}_running SET flags = flags | 1::SMALLINT WHERE no = s.no;
        o_code := 1;
        RETURN;
    ELSIF p_kind = 'queue' AND (s.state = 1 OR s.state = 0 AND p_yes
            OR s.state = 2 AND p_due IS NULL) THEN
        v_due := CASE WHEN p_due IS NULL THEN s.due ELSE greatest(p_due, p_now) END;
        o_state := CASE WHEN p_due IS NULL THEN s.state WHEN p_due > p_now THEN 1 ELSE 0 END;
        PERFORM {ns}_leave(s);
        o_state := {ns}_enqueue(s, p_now, o_state, v_due, coalesce(p_prio, s.prio), s.failures,
            s.crashes);
    ELSIF p_kind = 'revive' AND s.state IN (5, 6, 7, 8)
            OR p_kind = 'move' AND p_to = 0 AND (s.state = 3 OR v_finished) THEN
        o_state := 0;
        v_of_run := s.state = 3;
        v_told := CASE WHEN v_of_run THEN 'released' ELSE 'revived' END;
        PERFORM {ns}_leave(s);
        PERFORM {ns}_remember(s, v_finished AND s.settled,
            CASE WHEN NOT v_finished THEN s.error END);
        IF v_finished THEN
            s := {ns}_renew(s, p_now);
            PERFORM {ns}_take_up(s);
        END IF;
        IF p_kind = 'revive' THEN
            o_state := {ns}_enqueue(s, p_now, 0, p_now, s.prio, CASE WHEN p_yes THEN 0
                ELSE greatest(least(s.failures, s.attempts - 1), 0) END, 0);
        ELSE
            o_state := {ns}_enqueue(s, p_now, 0, p_now, s.prio, s.failures, s.crashes);
        END IF;
    ELSIF p_kind = 'remove' AND s.state <> 3 THEN
        v_kept := false;
        v_tally := 7;
        v_told := 'removed';
        PERFORM {ns}_leave(s);
        IF s.flags & 1920 <> 0 AND (s.state < 3 OR s.state = 7) THEN
            o_news := {ns}_let_go(s, p_now, NULL);
        END IF;
        PERFORM {ns}_erase(ARRAY[s.no]);
    ELSIF p_kind = 'cancel' AND s.state < 3
            OR p_kind = 'move' AND p_to = 7 AND s.state = 3
            OR p_kind = 'move' AND p_to IN (4, 5) AND (NOT v_finished OR s.state = 7) THEN
        o_state := CASE WHEN p_kind = 'cancel' THEN 6 ELSE p_to END;
        v_told := CASE o_state WHEN 4 THEN 'completed' WHEN 5 THEN 'failed'
            WHEN 6 THEN 'cancelled' ELSE 'stalled' END;
        v_of_run := o_state = 7;
        v_data := CASE o_state WHEN 4 THEN p_result WHEN 6 THEN NULL ELSE p_error END;
        v_error := CASE WHEN o_state IN (5, 7) THEN p_error ELSE s.error END;
        PERFORM {ns}_leave(s);
        v_end := {ns}_finish(s, p_now, o_state, s.failures, s.crashes, false,
            CASE WHEN o_state = 5 THEN 'admin' END, CASE WHEN o_state = 4 THEN p_result END,
            v_error, p_room);
        v_kept := v_end.o_kept;
        o_removed := v_end.o_removed;
        o_news := v_end.o_news;
        v_tally := {ns}_tally_of(o_state);
    ELSE
        o_code := 3;
        RETURN;
    END IF;
    o_moves := ARRAY[
        ROW(s.queue, s.state,
            CASE WHEN v_kept THEN o_state END, v_tally, 1, 0, v_was_due)::{ns}_move
    ];
    IF o_removed > 0 THEN
        o_moves := o_moves || ROW(s.queue, o_state, NULL, NULL, o_removed, 0, false)::{ns}_move;
    END IF;
    IF v_told IS NOT NULL THEN
        o_told := ARRAY[ROW(v_told, s.queue_name, s.id, s.name,
            CASE WHEN v_of_run THEN s.worker END,
            CASE WHEN v_of_run THEN s.failures + 1 END, NULL, v_data)::{ns}_told];
    END IF;
END $$;

-- Apply one change to each of some jobs, given by id. Code 2: there is none.
CREATE FUNCTION {ns}_change(
    p_now BIGINT, p_fast BOOLEAN, p_ids TEXT[], p_kind TEXT, p_delay BIGINT, p_run_at BIGINT,
    p_prio INTEGER, p_yes BOOLEAN, p_to INTEGER, p_result BYTEA, p_error BYTEA,
    OUT o_codes INTEGER[], OUT o_states INTEGER[], OUT o_woken TEXT[], OUT o_listening BOOLEAN
) LANGUAGE plpgsql
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_now BIGINT := {ns}_begin(p_now, p_fast);
    v_due BIGINT := coalesce(p_run_at, v_now + p_delay);
    v_room INTEGER := 1000;
    v_moves {ns}_move[] := '{}';
    v_told {ns}_told[] := '{}';
    v_end RECORD;
    n {ns}_news := {ns}_no_news();
    v_nos BIGINT[];
    v_gates BIGINT[] := '{}';
    s {ns}_standing;
    x RECORD;
BEGIN
    o_listening := {ns}_listening(v_now);
    o_codes := array_fill(2, ARRAY[cardinality(p_ids)]);
    o_states := array_fill(NULL::INTEGER, ARRAY[cardinality(p_ids)]);
    o_woken := '{}';
    IF p_kind = 'revive' OR p_kind = 'move' AND p_to = 0 THEN
        v_gates := {ns}_reopen_gates(p_ids);
    END IF;
    v_nos := ARRAY(SELECT no FROM {ns}_job WHERE id = ANY (p_ids));
    PERFORM {ns}_lock_jobs(v_nos, v_gates);
    PERFORM {ns}_lock_states(v_nos);
    FOR x IN
        SELECT j.no, u.at::INTEGER AS at FROM unnest(p_ids) WITH ORDINALITY u(id, at)
        JOIN {ns}_job j ON j.id = u.id WHERE j.no = ANY (v_nos) ORDER BY j.no, u.at
    LOOP
        s := {ns}_hold(x.no);
        CONTINUE WHEN s.no IS NULL;
        v_end := {ns}_change_one(s, v_now, p_kind, v_due, p_prio, p_yes, p_to, p_result, p_error,
            v_room);
        o_codes[x.at] := v_end.o_code;
        o_states[x.at] := v_end.o_state;
        v_room := v_room - v_end.o_removed;
        v_moves := v_moves || v_end.o_moves;
        v_told := v_told || v_end.o_told;
        n := {ns}_add_news(n, v_end.o_news);
        IF v_end.o_code = 0 AND v_end.o_state <= 1 AND s.queue_name <> ALL (o_woken) THEN
            o_woken := o_woken || s.queue_name;
        END IF;
    END LOOP;
    IF n.ended <> '{}' THEN
        n := {ns}_resolve(n, v_now);
    END IF;
    PERFORM {ns}_drop_gates(v_gates, v_now);
    o_woken := o_woken || {ns}_woken(n.moves);
    PERFORM {ns}_book(v_now, o_listening, v_moves || n.moves, v_told || n.told);
END $$;

-- Make a queue known, and pause or resume it.
CREATE FUNCTION {ns}_control(
    p_now BIGINT, p_fast BOOLEAN, p_queue TEXT, p_paused BOOLEAN, OUT o_changed BOOLEAN,
    OUT o_listening BOOLEAN
) LANGUAGE plpgsql
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_now BIGINT := {ns}_begin(p_now, p_fast);
    v_queue INTEGER;
BEGIN
    SELECT o_id INTO v_queue FROM {ns}_known_queue(p_queue);
    o_listening := {ns}_listening(v_now);
    UPDATE {ns}_queue SET paused = p_paused, ver = ver + 1
    WHERE id = v_queue AND paused <> p_paused;
    o_changed := FOUND;
    IF o_changed AND o_listening THEN
        PERFORM {ns}_tell(v_now, ARRAY[ROW(CASE WHEN p_paused THEN 'paused' ELSE 'resumed' END,
            p_queue, NULL, NULL, NULL, NULL, NULL, NULL)::{ns}_told]);
    END IF;
END $$;
