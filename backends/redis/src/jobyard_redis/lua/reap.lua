-- reap: takes back expired leases, then ends jobs past their time to live.
--
-- flags: allow-oom
-- include: step member job moves kin gates keys limits holding close
-- Arguments: now, the most jobs to move.
-- Result: for each job its id, queue, name, fence, crashes, state, reason, and worker or false.
-- Effect: the jobs wait again or have ended.

local limit, reaped = number(), {}

local function note(job, worker)
    reaped[#reaped + 1] = {
        job.id, job.queue, job.name, text(job.fence), text(job.crashes), job.state,
        job.reason or '', worker or false,
    }
end

local function reap_one(job)
    if expired(job) then
        expire(job)
        note(job, job.worker)
        return
    end
    leave(job)
    tally(job.queue, 'k', 1)
    tell_run('stalled', job)
    job.crashes = job.crashes + 1
    if call('SISMEMBER', yard .. ':cancelling', job.id) == 1 then
        tell_run('cancelled', job)
        finish(job, 'x')
    elseif job.crashes >= job.max_crashes then
        tell_run('failed', job)
        fail(job, 'crash_loop')
    else
        admit(job, job.due)
        write_facts(job)
    end
    note(job, job.worker)
end

-- Takes back what has expired of one claim; the rest of it ends when the first of them does.
local function take_back(fence)
    local lease, earliest = lease_of(fence), nil
    for _, each in ipairs(taken_by(lease)) do
        if each.ends <= now and #reaped < limit then
            reap_one(load(each.id))
        elseif not earliest or each.ends < earliest then
            earliest = each.ends
        end
    end
    if earliest then
        call('ZADD', yard .. ':ends', text(earliest), fence)
    end
end

while #reaped < limit do
    local first = call('ZRANGEBYSCORE', yard .. ':ends', '-inf', text(now), 'LIMIT', 0, 1)
    if not first[1] then
        break
    end
    take_back(first[1])
end
while #reaped < limit do
    local first = call('ZRANGEBYSCORE', yard .. ':expiry', '-inf', text(now), 'LIMIT', 0, 1)
    if not first[1] then
        break
    end
    local job = load(first[1])
    local running = expire(job)
    note(job, running and job.worker)
end
close()
return reaped
