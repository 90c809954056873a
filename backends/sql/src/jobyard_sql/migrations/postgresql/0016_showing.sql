-- All that is to be shown of a job, in the order of jobyard_sql.looking.Standing.
CREATE VIEW {ns}_shown AS
SELECT j.no, j.id, j.queue, q.name AS queue_name, j.lane, l.name, l.channel,
    CASE WHEN r.no IS NOT NULL THEN 3 WHEN d.no IS NOT NULL THEN d.state::INTEGER
        WHEN y.no IS NOT NULL THEN 1 WHEN b.no IS NOT NULL THEN 2 ELSE 0 END AS state,
    j.payload, j.options, j.prio, j.attempts, j.max_crashes, j.flags, j.ttl_ms,
    coalesce(r.failures, d.failures, y.failures, w.failures, b.failures, 0) AS failures,
    coalesce(r.crashes, d.crashes, y.crashes, w.crashes, b.crashes, 0) AS crashes,
    coalesce(r.lease, d.lease, p.lease, 0) AS fence, j.created_at, j.due,
    coalesce(s.started_at, d.started_at, p.started_at) AS started_at, d.finished_at, j.expires_at,
    CASE WHEN r.until > s.until THEN r.until ELSE s.until END AS lease_until,
    coalesce(s.worker, d.worker, p.worker) AS worker, j.flags & 1::SMALLINT AS cancel_asked,
    coalesce(d.settled, p.settled, false) AS settled, e.body, d.result,
    CASE WHEN d.no IS NOT NULL AND d.state <> 4 THEN d.error ELSE coalesce(d.error, p.error) END
        AS error,
    d.reason, w.queue AS ready_queue, b.line, j.dedup, g.grp, g.grp_key, g.places, g.placed, g.rate,
    g.rate_key, g.starts, g.per_ms, g.slot_at
FROM {ns}_job j
JOIN {ns}_queue q ON q.id = j.queue
JOIN {ns}_lane l ON l.id = j.lane
LEFT JOIN {ns}_running r ON r.no = j.no
LEFT JOIN {ns}_lease s ON s.no = r.lease
LEFT JOIN {ns}_done d ON d.no = j.no
LEFT JOIN {ns}_delayed y ON y.queue = j.queue AND y.due = j.due AND y.no = j.no
LEFT JOIN {ns}_ready w ON w.queue = ANY (ARRAY[j.queue, -j.queue]) AND w.prio = j.prio
    AND w.due = CASE WHEN j.flags & 4 <> 0 THEN -j.due ELSE j.due END
    AND w.no = CASE WHEN j.flags & 4 <> 0 THEN -j.no ELSE j.no END
LEFT JOIN {ns}_blocked b ON b.no = CASE WHEN j.flags & 4 <> 0 THEN -j.no ELSE j.no END
LEFT JOIN {ns}_gated g ON g.no = j.no
LEFT JOIN {ns}_past p ON p.no = j.no
LEFT JOIN {ns}_progress e ON e.no = j.no;

-- Show jobs by id. A join of so many tables is planned for longer than it runs: the plan is kept.
CREATE FUNCTION {ns}_show(p_ids TEXT[]) RETURNS SETOF {ns}_shown
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off SET enable_material = off
SET join_collapse_limit = 1 SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY SELECT * FROM {ns}_shown WHERE id = ANY (p_ids);
END $$;
