-- settle: ends runs, and claims the next jobs in the same step.
--
-- flags: allow-oom
-- include: step member job moves kin gates keys limits holding claiming giving close
-- Arguments: now; the number of sections of plain completed runs, each of what becomes of the
-- record ('k' kept, 'd' dropped), lease id, queue, name, the run times with a comma after each, 1 if
-- any has a result, the number of jobs, their members, and if any has a result the end of the facts
-- of each ("size\nresult"); the number of other runs, each of lease id, queue, id, outcome, delay,
-- reason, run time, and body with a sign before it or empty without one; 1 if a claim follows, with
-- the arguments of parts/claiming.lua.
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

local NO_RESULT = '-1\n'

local function result_of(tails, index)
    local size, result = string.match(tails and tails[index] or NO_RESULT, '^(-?%d+)\n(.*)$')
    return size ~= '-1' and result or nil
end

-- Jobs that ran for the first time and have no rule, no time to live, no job that depends on them
-- and no other feature that their end would concern: what most are, ended a batch at a time.
local function complete(section, lease, members, ids, runs, tails)
    local facts, line, at = {}, {}, text(now)
    local head = table.concat({
        'c||', '0', '0', lease.fence, text(lease.started), at, '', lease.id, '',
        lease.worker, '-1', '',
    }, '|')
    local alike = head .. NO_RESULT
    for index = 1, #members do
        local place = 2 * index
        facts[place - 1], facts[place] = ids[index], tails and head .. tails[index] or alike
        line[place - 1], line[place] = at, members[index]
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
            tell('completed', section.queue, id, section.name, lease.worker, 1, runs[index],
                result_of(tails, index))
        end
    end
    let_go(lease, #members)
end

local end_run

-- Picks out of a section the runs whose lease does not hold the job any more, and tells why; and those
-- of jobs that others depend on. Returns the sum of the run times and what is left, and these.
local function pick_out(section, lease, held, needed, members, ids, runs, tails, results)
    local ran, others, left = 0, {}, { {}, {}, {}, tails and {} }
    for index, id in ipairs(ids) do
        if not held_until(held[index], lease) then
            results[#results + 1] = explain(id, section.lease_id)
        else
            results[#results + 1] = 'o'
            if needed[id] then
                others[#others + 1] =
                    { id = id, ran = runs[index], body = result_of(tails, index) }
            else
                local at = #left[1] + 1
                left[1][at], left[2][at], left[3][at] = members[index], id, runs[index]
                if tails then
                    left[4][at] = tails[index]
                end
                ran = ran + runs[index]
            end
        end
    end
    return ran, others, unpack(left, 1, 4)
end

local function settle_section(results)
    local section = { kind = arg(), lease_id = arg(), queue = arg(), name = arg() }
    local runs, ran = {}, 0
    for run in string.gmatch(arg(), '[^,]+') do
        runs[#runs + 1] = tonumber(run)
        ran = ran + runs[#runs]
    end
    local some_result, count = arg() == '1', number()
    local members = several(count)
    local tails, ids = some_result and several(count) or nil, {}
    for index, member in ipairs(members) do
        ids[index] = id_of(member)
    end
    local lease = lease_named(section.lease_id)
    local held = many('HMGET', yard .. ':running:' .. section.queue, ids)
    local needed, others, odd = any('needed') and kin.among(ids) or {}, {}, false
    local fence = lease and lease.fence or true -- which no field is
    for index = 1, count do
        if held[index] ~= fence and not held_until(held[index], lease) or needed[ids[index]] then
            odd = true
        end
    end
    if odd then
        ran, others, members, ids, runs, tails =
            pick_out(section, lease, held, needed, members, ids, runs, tails, results)
    else
        results[#results + 1] = string.rep('o', count)
    end
    if #members > 0 then
        tally(section.queue, 'm', ran)
        complete(section, lease, members, ids, runs, tails)
    end
    for _, other in ipairs(others) do
        end_run(load(other.id), section.lease_id, 'done', other)
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
