-- Go through an add, a claim and a settle of a job that nobody sees, and undo them: what a session
-- compiles and plans for its first job, some 10 ms, it then has. No name of a user's has a blank in it.
CREATE FUNCTION {ns}_rehearse() RETURNS VOID LANGUAGE plpgsql
SET search_path FROM CURRENT AS $$
DECLARE
    v_name TEXT := ' ' || pg_backend_pid();
    v_now BIGINT := floor(extract(epoch FROM clock_timestamp()) * 1000);
    v_want JSONB := jsonb_build_object('lease_id', v_name, 'limit', 1, 'ttl_ms', 1000, 'worker', '',
        'sources', jsonb_build_array(jsonb_build_object('queue', v_name, 'limit', 1)));
    v_lease BIGINT;
    v_no BIGINT;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    BEGIN
        PERFORM {ns}_add(v_now, false, NULL, NULL, NULL, ARRAY[v_name], '{""}', '{""}',
            ARRAY[v_name], '{1}', '{0}', '{0}', NULL, NULL, '{1}', '{1}', '{0}', ARRAY[''::BYTEA],
            ARRAY[''::BYTEA], NULL, NULL, NULL, NULL, NULL);
        PERFORM {ns}_add_one(v_now, false, v_name, '', '', v_name || ' 2', 0, 0, NULL, 1, 1, 0, '', '');
        PERFORM {ns}_work(v_now, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            NULL, v_want);
        SELECT r.no, r.lease INTO v_no, v_lease FROM {ns}_lease l
        JOIN {ns}_running r ON r.lease = l.no WHERE l.token = v_name;
        PERFORM {ns}_work(v_now, false, ARRAY[v_lease], ARRAY[v_name], ARRAY[v_no], '{1}',
            ARRAY[v_name], NULL, NULL, '{0}', NULL, NULL, NULL,
            jsonb_set(v_want, '{lease_id}', to_jsonb(v_name || ' 2')));
        RAISE EXCEPTION 'undo' USING ERRCODE = 'JY000';
    EXCEPTION WHEN SQLSTATE 'JY000' THEN
        NULL;
    END;
END $$;
