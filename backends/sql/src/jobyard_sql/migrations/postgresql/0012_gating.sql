-- Groups and rates: what holds a job back from waiting. A group gives it a place, a rate a slot.
--
-- Who calls these has locked the gates, so that what stands before them is his alone: their rows
-- are locked by one statement, and what they protect is read by a later one, which sees what was
-- written while the first one waited. Groups are locked before rates: who gets a place may then
-- need a slot, but who gets a slot has his place.
--
-- Rows that arrays name are looked up one by one (LATERAL … LIMIT 1): a plan that joins the two,
-- made while there were few gates, would read all the gates that there are.

-- Find gates or make them, and lock them, in order; of one named twice the first counts.
CREATE FUNCTION {ns}_make_gates(
    p_queues INTEGER[], p_kind INTEGER, p_keys TEXT[], p_rooms BIGINT[], p_pers BIGINT[]
) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    -- What is not to be changed is locked all the same.
    INSERT INTO {ns}_gate AS g (queue, kind, key, room, per_ms, taken, members)
    SELECT DISTINCT ON (u.queue, u.key COLLATE "C") u.queue, p_kind, u.key, u.room, u.per, 0, 0
    FROM unnest(p_queues, p_keys, p_rooms, p_pers) WITH ORDINALITY u(queue, key, room, per, at)
    ORDER BY u.queue, u.key COLLATE "C", u.at
    ON CONFLICT (queue, kind, key) DO UPDATE SET room = g.room WHERE false;
END $$;

-- Find the gates that some jobs ask for, or make them, and lock them with others given by id. They
-- come as places of `p_kinds` and so on; the answer has the ids of all that are locked.
CREATE FUNCTION {ns}_open_gates(
    p_queues INTEGER[], p_kinds INTEGER[], p_keys TEXT[], p_rooms BIGINT[], p_pers BIGINT[],
    p_others BIGINT[], p_places BIGINT
) RETURNS BIGINT[] LANGUAGE plpgsql AS $$
DECLARE
    v_ids BIGINT[] := '{}';
    v_behind BIGINT[] := '{}';
    x RECORD;
BEGIN
    FOR v_kind IN 0 .. 1 LOOP
        SELECT array_agg(u.queue) AS queues, array_agg(u.key) AS keys, array_agg(u.room) AS rooms,
            array_agg(u.per) AS pers INTO x
        FROM (
            SELECT a.queue, a.key, a.room, a.per
            FROM unnest(p_queues, p_kinds, p_keys, p_rooms, p_pers) a(queue, kind, key, room, per)
            WHERE a.kind = v_kind
            UNION ALL
            SELECT g.queue, g.key, g.room, g.per_ms FROM unnest(p_others || v_behind) o(id)
            CROSS JOIN LATERAL (
                SELECT * FROM {ns}_gate WHERE id = o.id AND kind = v_kind LIMIT 1) g) u;
        CONTINUE WHEN x.keys IS NULL;
        PERFORM {ns}_make_gates(x.queues, v_kind, x.keys, x.rooms, x.pers);
        v_ids := v_ids || ARRAY(
            SELECT DISTINCT g.id FROM unnest(x.queues, x.keys) u(queue, key)
            CROSS JOIN LATERAL (SELECT id FROM {ns}_gate
                WHERE queue = u.queue AND kind = v_kind AND key = u.key LIMIT 1) g);
        v_behind := {ns}_rates_behind(v_ids || p_others, p_places);
    END LOOP;
    RETURN v_ids;
END $$;

-- Lock gates that there are: once named for each job that may give its place on, or leave the line.
CREATE FUNCTION {ns}_lock_gates(p_ids BIGINT[]) RETURNS VOID
LANGUAGE plpgsql AS $$
DECLARE
    v_ids BIGINT[] := ARRAY(
        SELECT DISTINCT u.id FROM unnest(p_ids) u(id) WHERE u.id IS NOT NULL ORDER BY 1);
BEGIN
    -- Expressions, lest the index of that order be read through.
    PERFORM 1 FROM {ns}_gate WHERE id = ANY (v_ids) AND kind + 0 = 0
    ORDER BY queue + 0, key FOR UPDATE;
    v_ids := ARRAY(
        SELECT DISTINCT u.id FROM unnest(v_ids || {ns}_rates_behind(p_ids, 0)) u(id) ORDER BY 1);
    PERFORM 1 FROM {ns}_gate WHERE id = ANY (v_ids) AND kind + 0 = 1
    ORDER BY queue + 0, key FOR UPDATE;
END $$;

-- The rates of the jobs that may come on for those of some locked groups, each named once for each
-- of its jobs, or because there are to be `p_places`.
CREATE FUNCTION {ns}_rates_behind(p_ids BIGINT[], p_places BIGINT) RETURNS BIGINT[]
LANGUAGE plpgsql AS $$
BEGIN
    RETURN ARRAY(
        SELECT DISTINCT h.rate
        FROM (SELECT u.id, count(*) AS n FROM unnest(p_ids) u(id) GROUP BY u.id) c
        CROSS JOIN LATERAL (
            SELECT id, taken FROM {ns}_gate WHERE id = c.id AND kind = 0 LIMIT 1) g
        CROSS JOIN LATERAL (
            SELECT e.rate FROM (
                SELECT b.no, b.flags FROM {ns}_blocked b WHERE b.line = g.id
                ORDER BY b.prio, b.due, b.no LIMIT 2 * c.n + greatest(p_places - g.taken, 0)) b
            JOIN {ns}_gated e ON e.no = abs(b.no) WHERE b.flags & 256 <> 0) h
        WHERE h.rate IS NOT NULL);
END $$;

-- Forget gates of which nothing is left to know: no job, no slot to wait for (with no time given,
-- none at all). Tells which groups.
CREATE FUNCTION {ns}_drop_gates(p_ids BIGINT[], p_now BIGINT) RETURNS {ns}_told[]
LANGUAGE plpgsql AS $$
DECLARE
    v_told {ns}_told[];
BEGIN
    WITH gone AS (
        DELETE FROM {ns}_gate g WHERE g.id = ANY (p_ids) AND g.members = 0
            AND NOT EXISTS (SELECT 1 FROM {ns}_slot s WHERE s.gate = g.id AND s.at > p_now)
        RETURNING *
    ), s AS (
        DELETE FROM {ns}_slot WHERE gate = ANY (ARRAY(SELECT id FROM gone WHERE kind = 1))
    )
    SELECT array_agg(ROW('group_deleted', q.name, NULL, NULL, NULL, NULL, NULL,
        convert_to(gone.key, 'UTF8'))::{ns}_told)
    INTO v_told FROM gone JOIN {ns}_queue q ON q.id = gone.queue WHERE gone.kind = 0;
    RETURN coalesce(v_told, '{}');
END $$;

-- Forget what nobody would miss: keys whose time is over, rates without jobs whose slots are free.
CREATE FUNCTION {ns}_drop_spent(p_now BIGINT, p_limit INTEGER) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM {ns}_dedup WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {ns}_dedup WHERE until <= p_now ORDER BY until LIMIT p_limit
        FOR UPDATE SKIP LOCKED));
    PERFORM {ns}_drop_gates(ARRAY(
        SELECT g.id FROM {ns}_gate g WHERE g.members = 0 AND g.id = ANY (ARRAY(
            SELECT DISTINCT s.gate FROM {ns}_slot s WHERE s.at <= p_now))
        LIMIT p_limit FOR UPDATE SKIP LOCKED), p_now);
END $$;

-- Let an unfinished job be of its gates.
CREATE FUNCTION {ns}_enrol(p_no BIGINT, p_group BIGINT, p_rate BIGINT) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE {ns}_gated SET grp = p_group, rate = p_rate WHERE no = p_no;
    UPDATE {ns}_gate SET members = members + 1 WHERE id IN (p_group, p_rate);
END $$;

-- Let a job that was held back go on, if it can.
CREATE FUNCTION {ns}_unblock(
    n {ns}_news, b {ns}_blocked, p_now BIGINT, p_state INTEGER, p_due BIGINT
) RETURNS {ns}_news LANGUAGE plpgsql AS $$
DECLARE
    s {ns}_standing;
BEGIN
    DELETE FROM {ns}_blocked WHERE line = b.line AND prio = b.prio AND due = b.due AND no = b.no;
    s.no := abs(b.no);
    s.queue := b.queue;
    s.lane := b.lane;
    s.prio := b.prio;
    s.due := abs(b.due);
    s.flags := b.flags;
    n.moves := n.moves || ROW(b.queue, 2, {ns}_enqueue(s, p_now, p_state, p_due, b.prio,
        b.failures, b.crashes), NULL, 1, 0, false)::{ns}_move;
    RETURN n;
END $$;

-- Let blocked jobs of a group have what places are free; they are due now (GROUP-3).
CREATE FUNCTION {ns}_fill(n {ns}_news, p_gate BIGINT, p_now BIGINT) RETURNS {ns}_news
LANGUAGE plpgsql AS $$
DECLARE
    b {ns}_blocked;
BEGIN
    WHILE (SELECT taken < room FROM {ns}_gate WHERE id = p_gate) LOOP
        SELECT * INTO b FROM {ns}_blocked WHERE line = p_gate ORDER BY prio, due, no LIMIT 1;
        EXIT WHEN NOT FOUND;
        n := {ns}_unblock(n, b, p_now, 0, p_now);
    END LOOP;
    RETURN n;
END $$;

-- Let blocked jobs of a rate have what slots may be taken.
CREATE FUNCTION {ns}_serve(n {ns}_news, p_gate BIGINT, p_now BIGINT) RETURNS {ns}_news
LANGUAGE plpgsql AS $$
DECLARE
    b {ns}_blocked;
    v_at BIGINT;
    v_due BIGINT;
BEGIN
    LOOP
        SELECT * INTO b FROM {ns}_blocked WHERE line = p_gate ORDER BY prio, due, no LIMIT 1;
        EXIT WHEN NOT FOUND;
        v_at := {ns}_take_slot(p_gate, p_now);
        EXIT WHEN v_at IS NULL;
        UPDATE {ns}_gated SET slot_at = v_at WHERE no = abs(b.no);
        v_due := greatest(v_at, abs(b.due));
        n := {ns}_unblock(n, b, p_now, CASE WHEN v_due > p_now THEN 1 ELSE 0 END,
            greatest(v_due, p_now));
    END LOOP;
    RETURN n;
END $$;

-- Take the slot of a rate that is free first: tells from when, NULL if all are held. Slots whose
-- instant has come are as good as none.
CREATE FUNCTION {ns}_take_slot(p_gate BIGINT, p_now BIGINT) RETURNS BIGINT
LANGUAGE plpgsql AS $$
DECLARE
    v_room BIGINT;
    v_taken BIGINT;
    v_at BIGINT;
BEGIN
    DELETE FROM {ns}_slot WHERE gate = p_gate AND at <= p_now;
    SELECT room, taken INTO v_room, v_taken FROM {ns}_gate WHERE id = p_gate;
    IF v_taken >= v_room THEN
        RETURN NULL;
    END IF;
    IF v_taken + (SELECT coalesce(sum(n), 0) FROM {ns}_slot WHERE gate = p_gate) < v_room THEN
        v_at := p_now;
    ELSE
        v_at := {ns}_drop_slot(p_gate);
    END IF;
    UPDATE {ns}_gate SET taken = taken + 1 WHERE id = p_gate;
    RETURN v_at;
END $$;

-- Drop the slot that is free first, and tell from when it would have been.
CREATE FUNCTION {ns}_drop_slot(p_gate BIGINT) RETURNS BIGINT
LANGUAGE plpgsql AS $$
DECLARE
    v_at BIGINT;
BEGIN
    SELECT at INTO v_at FROM {ns}_slot WHERE gate = p_gate ORDER BY at LIMIT 1;
    UPDATE {ns}_slot SET n = n - 1 WHERE gate = p_gate AND at = v_at;
    DELETE FROM {ns}_slot WHERE gate = p_gate AND at = v_at AND n = 0;
    RETURN v_at;
END $$;

-- Let a slot that was held be free from an instant on.
CREATE FUNCTION {ns}_give_slot(p_gate BIGINT, p_now BIGINT, p_at BIGINT) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE {ns}_gate SET taken = taken - 1 WHERE id = p_gate;
    IF p_at > p_now AND (
        SELECT g.taken + coalesce(sum(s.n), 0) < g.room FROM {ns}_gate g
        LEFT JOIN {ns}_slot s ON s.gate = g.id AND s.at > p_now
        WHERE g.id = p_gate GROUP BY g.id
    ) THEN
        INSERT INTO {ns}_slot AS s (gate, at, n) VALUES (p_gate, p_at, 1)
        ON CONFLICT (gate, at) DO UPDATE SET n = s.n + 1;
    END IF;
END $$;

-- Let the limits of a job that was just added hold for its gates (GROUP-4, RATE-1). Of too many
-- slots those go that are free first.
CREATE FUNCTION {ns}_resize(
    n {ns}_news, p_now BIGINT, p_group BIGINT, p_places BIGINT, p_rate BIGINT, p_starts BIGINT,
    p_per BIGINT
) RETURNS {ns}_news LANGUAGE plpgsql AS $$
BEGIN
    UPDATE {ns}_gate SET room = p_places WHERE id = p_group AND room <> p_places;
    IF FOUND THEN
        n := {ns}_fill(n, p_group, p_now);
    END IF;
    UPDATE {ns}_gate SET room = p_starts, per_ms = p_per
    WHERE id = p_rate AND (room, per_ms) <> (p_starts, p_per);
    IF FOUND THEN
        DELETE FROM {ns}_slot WHERE gate = p_rate AND at <= p_now;
        WHILE (
            SELECT g.taken + sum(s.n) > g.room FROM {ns}_gate g
            JOIN {ns}_slot s ON s.gate = g.id WHERE g.id = p_rate GROUP BY g.id
        ) LOOP
            PERFORM {ns}_drop_slot(p_rate);
        END LOOP;
        n := {ns}_serve(n, p_rate, p_now);
    END IF;
    RETURN n;
END $$;

-- Give a job that is to wait its place and its slot; tells where else it has to go for want of one,
-- before which gate, and its due there. `p_horizon` is the instant by which a slot has to be good.
CREATE FUNCTION {ns}_ask_gates(
    p_no BIGINT, p_now BIGINT, p_horizon BIGINT, p_due BIGINT,
    OUT o_state INTEGER, OUT o_due BIGINT, OUT o_line BIGINT
) LANGUAGE plpgsql AS $$
DECLARE
    g {ns}_gated;
BEGIN
    o_state := 0;
    o_due := p_due;
    SELECT * INTO g FROM {ns}_gated WHERE no = p_no;
    IF g.grp IS NOT NULL AND NOT g.placed THEN
        UPDATE {ns}_gate SET taken = taken + 1 WHERE id = g.grp AND taken < room;
        IF NOT FOUND THEN
            o_state := 2;
            o_line := g.grp;
            RETURN;
        END IF;
        UPDATE {ns}_gated SET placed = true WHERE no = p_no;
    END IF;
    IF g.rate IS NOT NULL THEN
        IF g.slot_at IS NULL THEN
            g.slot_at := {ns}_take_slot(g.rate, p_now);
            UPDATE {ns}_gated SET slot_at = g.slot_at WHERE no = p_no;
        END IF;
        IF g.slot_at IS NULL THEN
            o_state := 2;
            o_line := g.rate;
        ELSIF g.slot_at > p_horizon THEN
            o_state := 1;
            o_due := greatest(g.slot_at, p_due);
        END IF;
    END IF;
END $$;

-- Take its place and its slot from a job that has ended or goes, and let the next have them.
CREATE FUNCTION {ns}_strike(n {ns}_news, p_no BIGINT, p_now BIGINT) RETURNS {ns}_news
LANGUAGE plpgsql AS $$
DECLARE
    g {ns}_gated;
BEGIN
    SELECT * INTO g FROM {ns}_gated WHERE no = p_no;
    IF g.grp IS NULL AND g.rate IS NULL THEN
        RETURN n;
    END IF;
    UPDATE {ns}_gated SET grp = NULL, placed = false, rate = NULL, slot_at = NULL WHERE no = p_no;
    UPDATE {ns}_gate SET members = members - 1,
        taken = taken - CASE WHEN kind = 0 AND g.placed THEN 1 ELSE 0 END
    WHERE id IN (g.grp, g.rate);
    IF g.placed THEN
        n := {ns}_fill(n, g.grp, p_now);
    END IF;
    IF g.slot_at IS NOT NULL THEN
        PERFORM {ns}_give_slot(g.rate, p_now, g.slot_at);
        n := {ns}_serve(n, g.rate, p_now);
    END IF;
    n.told := n.told || {ns}_drop_gates(ARRAY[g.grp, g.rate], p_now);
    RETURN n;
END $$;

-- Take their places from jobs of groups that were active and have completed, as {ns}_strike does one
-- by one, and let the next have them.
CREATE FUNCTION {ns}_give_places(p_nos BIGINT[], p_now BIGINT) RETURNS {ns}_news
LANGUAGE plpgsql AS $$
DECLARE
    n {ns}_news := {ns}_no_news();
    v_groups BIGINT[] := ARRAY(SELECT grp FROM {ns}_gated WHERE no = ANY (p_nos));
    v_next BIGINT[];
    v_rated BOOLEAN;
    v_gate BIGINT;
BEGIN
    UPDATE {ns}_gated SET grp = NULL, placed = false WHERE no = ANY (p_nos);
    UPDATE {ns}_gate g SET members = g.members - c.n, taken = g.taken - c.n
    FROM (SELECT u.id, count(*) AS n FROM unnest(v_groups) u(id) GROUP BY u.id) c
    WHERE g.id = c.id;
    v_groups := ARRAY(SELECT DISTINCT u.id FROM unnest(v_groups) u(id) ORDER BY 1);
    SELECT coalesce(array_agg(b.no), '{}'), coalesce(bool_or(b.flags & 256 <> 0), false)
    INTO v_next, v_rated
    FROM {ns}_gate g CROSS JOIN LATERAL (
        SELECT e.no, e.flags FROM {ns}_blocked e WHERE e.line = g.id
        ORDER BY e.prio, e.due, e.no LIMIT greatest(g.room - g.taken, 0)) b
    WHERE g.id = ANY (v_groups);
    IF v_rated THEN
        -- Who gets a place may have to wait for a slot then: one after the other.
        FOREACH v_gate IN ARRAY v_groups LOOP
            n := {ns}_fill(n, v_gate, p_now);
        END LOOP;
    ELSIF cardinality(v_next) > 0 THEN
        WITH b AS (
            DELETE FROM {ns}_blocked WHERE no = ANY (v_next) RETURNING *
        ), r AS (
            INSERT INTO {ns}_ready (queue, prio, due, no, lane, failures, crashes, flags)
            SELECT queue, prio, CASE WHEN flags & 4 <> 0 THEN -p_now ELSE p_now END, no, lane,
                failures, crashes, flags
            FROM b
        ), g AS (
            UPDATE {ns}_gate e SET taken = e.taken + c.n
            FROM (SELECT line, count(*) AS n FROM b GROUP BY line) c WHERE e.id = c.line
        )
        SELECT array_agg(ROW(m.queue, 2, 0, NULL, m.n, 0, false)::{ns}_move) INTO n.moves
        FROM (SELECT queue, count(*) AS n FROM b GROUP BY queue) m;
        v_next := ARRAY(SELECT abs(u) FROM unnest(v_next) u);
        UPDATE {ns}_gated SET placed = true WHERE no = ANY (v_next);
        UPDATE {ns}_job SET due = p_now WHERE no = ANY (v_next);
    END IF;
    n.told := {ns}_drop_gates(v_groups, p_now);
    RETURN n;
END $$;

-- Promote due jobs that have gates, given by their places in `delayed` in order. A job whose gates
-- are in others' hands is passed over.
CREATE FUNCTION {ns}_promote_gated(p_tids TID[], p_now BIGINT, p_instant BIGINT)
RETURNS {ns}_move[] LANGUAGE plpgsql AS $$
DECLARE
    v_gates BIGINT[];
    v_moves {ns}_move[] := '{}';
    v_sign INTEGER;
    v_end RECORD;
    d RECORD;
BEGIN
    v_gates := ARRAY(
        SELECT id FROM {ns}_gate WHERE id = ANY (ARRAY(
            SELECT unnest(ARRAY[g.grp, g.rate]) FROM {ns}_gated g WHERE g.no = ANY (ARRAY(
                SELECT no FROM {ns}_delayed WHERE ctid = ANY (p_tids)))))
        FOR UPDATE SKIP LOCKED);
    FOR d IN
        SELECT x.* FROM {ns}_delayed x JOIN {ns}_gated g ON g.no = x.no
        WHERE x.ctid = ANY (p_tids) AND (g.grp IS NULL OR g.grp = ANY (v_gates))
            AND (g.rate IS NULL OR g.rate = ANY (v_gates))
        ORDER BY x.due, x.no
    LOOP
        v_sign := CASE WHEN d.flags & 4 <> 0 THEN -1 ELSE 1 END;
        v_end := {ns}_ask_gates(d.no, p_now, p_instant, d.due);
        DELETE FROM {ns}_delayed WHERE queue = d.queue AND due = d.due AND no = d.no;
        IF v_end.o_due <> d.due THEN
            UPDATE {ns}_job SET due = v_end.o_due WHERE no = d.no;
        END IF;
        IF v_end.o_state = 0 THEN
            INSERT INTO {ns}_ready (queue, prio, due, no, lane, failures, crashes, flags)
            VALUES (d.queue, d.prio, v_sign * d.due, v_sign * d.no, d.lane, d.failures, d.crashes,
                d.flags);
        ELSIF v_end.o_state = 1 THEN
            INSERT INTO {ns}_delayed (queue, due, no, lane, prio, failures, crashes, flags)
            VALUES (d.queue, v_end.o_due, d.no, d.lane, d.prio, d.failures, d.crashes, d.flags);
        ELSE
            INSERT INTO {ns}_blocked (line, prio, due, no, queue, lane, failures, crashes, flags)
            VALUES (v_end.o_line, d.prio, v_sign * d.due, v_sign * d.no, d.queue, d.lane,
                d.failures, d.crashes, d.flags);
        END IF;
        v_moves := v_moves || ROW(d.queue, 1, v_end.o_state, NULL, 1, 0, true)::{ns}_move;
    END LOOP;
    RETURN v_moves;
END $$;

-- Note that jobs of rates, of those that a claim has chosen, start: their slots are free again a
-- period later. Jobs whose rates are in others' hands are left out of the choice.
CREATE FUNCTION {ns}_start(p_tids TID[], p_now BIGINT, OUT o_tids TID[], OUT o_news {ns}_news)
LANGUAGE plpgsql AS $$
DECLARE
    v_gates BIGINT[];
    r RECORD;
BEGIN
    o_news := ROW('{}'::{ns}_move[], '{}'::{ns}_told[], '{}'::{ns}_ended[]);
    v_gates := ARRAY(
        SELECT id FROM {ns}_gate WHERE id = ANY (ARRAY(
            SELECT g.rate FROM {ns}_ready x JOIN {ns}_gated g ON g.no = abs(x.no)
            WHERE x.ctid = ANY (p_tids) AND x.flags & 256 <> 0))
        FOR UPDATE SKIP LOCKED);
    o_tids := ARRAY(
        SELECT x.ctid FROM {ns}_ready x LEFT JOIN {ns}_gated g
            ON x.flags & 256 <> 0 AND g.no = abs(x.no)
        WHERE x.ctid = ANY (p_tids) AND (g.rate IS NULL OR g.rate = ANY (v_gates)));
    FOR r IN
        SELECT g.no, g.rate, e.per_ms
        FROM {ns}_ready x JOIN {ns}_gated g ON g.no = abs(x.no) JOIN {ns}_gate e ON e.id = g.rate
        WHERE x.ctid = ANY (o_tids) AND x.flags & 256 <> 0 ORDER BY x.prio, x.due, x.no
    LOOP
        UPDATE {ns}_gated SET slot_at = NULL WHERE no = r.no;
        PERFORM {ns}_give_slot(r.rate, p_now, p_now + r.per_ms);
        o_news := {ns}_serve(o_news, r.rate, p_now);
    END LOOP;
END $$;
