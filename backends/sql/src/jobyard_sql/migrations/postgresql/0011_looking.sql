-- The earliest due that waits: a few probes of the key for each priority there is.
CREATE FUNCTION {ns}_oldest_due(p_queue INTEGER) RETURNS BIGINT
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_sort = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_key INTEGER;
    v_prio INTEGER;
    v_due BIGINT;
BEGIN
    FOREACH v_key IN ARRAY ARRAY[p_queue, -p_queue] LOOP
        v_prio := -32768;
        LOOP
            SELECT prio INTO v_prio FROM {ns}_ready WHERE queue = v_key AND prio > v_prio
            ORDER BY prio LIMIT 1;
            EXIT WHEN NOT FOUND;
            v_due := least(v_due,
                (SELECT due FROM {ns}_ready WHERE queue = v_key AND prio = v_prio AND due >= 0
                    ORDER BY due, no LIMIT 1),
                (SELECT -due FROM {ns}_ready WHERE queue = v_key AND prio = v_prio AND due < 0
                    ORDER BY due DESC, no DESC LIMIT 1));
        END LOOP;
    END LOOP;
    RETURN v_due;
END $$;
