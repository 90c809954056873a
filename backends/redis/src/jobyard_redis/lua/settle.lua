-- settle: ends runs, and claims the next jobs in the same step.
--
-- flags: allow-oom
-- include: step job moves kin gates keys limits holding claiming giving close
-- Arguments: now; the number of sections of plain completed runs, each of what becomes of the
-- record ('k' kept, 'd' dropped), lease id, queue, name, the sum of the run times, the number of
-- jobs, and for each its member, its run time and the end of its facts ("size\nresult"); the
-- number of other runs, each of lease id, queue, id, outcome, delay, reason, run time, and body with
-- a sign before it or empty without one; 1 if a claim follows, with the arguments of
-- parts/claiming.lua.
-- Result: a character for each run in this order (o: ok, a: already, l: lost, g: gone), and the
-- answer of parts/giving.lua or false.
-- Effect: as the outcomes ask; nothing for a run whose lease does not hold its job.

-- Tells why a lease does not hold a job.
local function explain(id, lease_id)
    local job = load(id)
    if not job then
        return 'g'
    end
    return job.state ~= 'a' and job.settled == lease_id and 'a' or 'l'
end

-- Jobs that ran for the first time and have no rule, no time to live, no job that depends on them
-- and no other feature that their end would concern: what most are, ended a batch at a time.
local function complete(section, lease, members, runs, tails)
    local facts, line, ids = {}, {}, {}
    local head = table.concat({
        'c||', '0', '0', lease.fence, text(lease.started), text(now), '', lease.id, '',
        lease.worker, '-1', '',
    }, '|')
    for index, member in ipairs(members) do
        local id = id_of(member)
        ids[index] = id
        facts[2 * index - 1], facts[2 * index] = id, head .. tails[index]
        line[2 * index - 1], line[2 * index] = text(now), member
    end
    each_piece('HDEL', yard .. ':running:' .. section.queue, ids)
    if any('limited') then
        limits.finish(section.queue, section.name, #members)
    end
    if section.kind == 'k' then
        each_piece('HSET', yard .. ':facts', facts)
        each_piece('ZADD', shelf(section.queue, 'c', 'done'), line)
    else
        forget_many(members)
    end
    tally(section.queue, 'c', #members)
    lessened[section.queue] = true
    if logging then
        for index, id in ipairs(ids) do
            local size, result = string.match(tails[index], '^(-?%d+)\n(.*)$')
            tell('completed', section.queue, id, section.name, lease.worker, 1,
                tonumber(runs[index]), size ~= '-1' and result or nil)
        end
    end
    let_go(lease, #members)
end

local end_run

local function settle_section(results)
    local section = { kind = arg(), lease_id = arg(), queue = arg(), name = arg() }
    local count = number()
    local members, runs, tails, ids = {}, {}, {}, {}
    for index = 1, count do
        members[index], runs[index], tails[index] = arg(), arg(), arg()
        ids[index] = id_of(members[index])
    end
    local lease = lease_named(section.lease_id)
    local held = many('HMGET', yard .. ':running:' .. section.queue, ids)
    local needed, others = any('needed') and kin.among(ids) or {}, {}
    local mine, my_runs, my_tails, ran = {}, {}, {}, 0
    for index = 1, count do
        if not held_until(held[index], lease) then
            results[#results + 1] = explain(ids[index], section.lease_id)
        else
            results[#results + 1] = 'o'
            if needed[ids[index]] then
                others[#others + 1] = index
            else
                mine[#mine + 1] = members[index]
                my_runs[#mine], my_tails[#mine] = runs[index], tails[index]
                ran = ran + runs[index]
            end
        end
    end
    if #mine > 0 then
        tally(section.queue, 'm', ran)
        complete(section, lease, mine, my_runs, my_tails)
    end
    for _, index in ipairs(others) do
        local size, result = string.match(tails[index], '^(-?%d+)\n(.*)$')
        local run = { ran = tonumber(runs[index]), body = size ~= '-1' and result or nil }
        end_run(load(ids[index]), section.lease_id, 'done', run)
    end
end

local outcomes = {}

function outcomes.done(job, run)
    tally(job.queue, 'm', run.ran)
    job.result = run.body
    finish(job, 'c')
end

function outcomes.retried(job, run)
    tally(job.queue, 'm', run.ran)
    tally(job.queue, 'r', 1)
    job.failures, job.error = job.failures + 1, run.body
    enter(job, now + run.delay)
    write_facts(job)
end

function outcomes.failed(job, run)
    tally(job.queue, 'm', run.ran)
    job.error = run.body
    if run.counted then
        job.failures = job.failures + 1
    end
    fail(job, run.reason)
end

function outcomes.snoozed(job, run)
    enter(job, now + run.delay)
    write_facts(job)
end

function outcomes.released(job)
    admit(job, job.due)
    write_facts(job)
end

function outcomes.cancelled(job)
    finish(job, 'x')
end

function outcomes.stalled(job, run)
    tally(job.queue, 'm', run.ran)
    job.failures, job.error = job.failures + 1, run.body
    finish(job, 's')
end

local NEWS = {
    done = { 'completed' }, retried = { 'attempt_failed' }, failed = { 'failed' },
    snoozed = { 'snoozed' }, released = { 'released' }, cancelled = { 'cancelled' },
    stalled = { 'stalled' },
}

function end_run(job, lease_id, outcome, run)
    if outcome == 'failed' and run.counted then
        tell_run('attempt_failed', job, run.ran, run.body)
    end
    for _, kind in ipairs(NEWS[outcome]) do
        tell_run(kind, job, run.ran, run.body)
    end
    leave(job)
    job.settled = lease_id
    outcomes[outcome](job, run)
end

local function settle_one()
    local lease_id, queue, id, outcome = arg(), arg(), arg(), arg()
    local run = { delay = number(), reason = arg(), ran = number() }
    local body = arg()
    run.body = body ~= '' and string.sub(body, 2) or nil
    run.counted = run.reason == 'exhausted' or run.reason == 'refused'
    local lease = lease_named(lease_id)
    if not held_until(call('HGET', yard .. ':running:' .. queue, id), lease) then
        return explain(id, lease_id)
    end
    end_run(load(id), lease_id, outcome, run)
    return 'o'
end

local results = {}
for _ = 1, number() do
    settle_section(results)
end
for _ = 1, number() do
    results[#results + 1] = settle_one()
end
if any('needed') then
    kin.resolve()
end
local claimed = false
if arg() == '1' then
    claimed = claim(read_want())
end
close()
return { table.concat(results), claimed }
