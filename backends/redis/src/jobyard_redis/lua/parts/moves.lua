-- The moves: every way of a job from one place in the yard to another.
--
-- Whatever moves jobs includes kin, gates, keys and limits after this: what holds jobs back. Each is
-- a table whose functions are made when the first of them is called.

local kin, gates, keys, limits = {}, {}, {}, {}

-- Whether any job is needed by another, or any queue limited: ':needed' and ':limited'. While none
-- is, this one look a step is all that either costs.
local in_use = {}
local function any(what)
    if in_use.needed == nil then
        local some = call('EXISTS', yard .. ':needed', yard .. ':limited') > 0
        in_use.needed = some and call('EXISTS', yard .. ':needed') == 1
        in_use.limited = some and call('EXISTS', yard .. ':limited') == 1
    end
    return in_use[what]
end

-- Whether an unfinished job depends on a job.
local function is_needed(id)
    return any('needed') and call('SISMEMBER', yard .. ':needed', id) == 1
end

local END_COUNTS = { c = 'c', x = 'x', f = 'f', s = 'f', l = 'f' }

local function line_up(queue, lane, score, member)
    call('ZADD', yard .. ':lane:' .. queue .. ':' .. lane, score, member)
    call('SADD', yard .. ':lanes:' .. queue, lane)
end

local function drop_if_empty(queue, lane)
    if call('EXISTS', yard .. ':lane:' .. queue .. ':' .. lane) == 0 then
        call('SREM', yard .. ':lanes:' .. queue, lane)
    end
end

-- Counts jobs out of a lease; one that holds none any more is forgotten.
local function let_go(lease, count)
    local fence = lease.fence
    if call('HINCRBY', yard .. ':held', fence, -count) <= 0 then
        call('HDEL', yard .. ':held', fence)
        call('HDEL', yard .. ':leases', fence)
        call('HDEL', yard .. ':fences', lease.id)
        call('ZREM', yard .. ':ends', fence)
        call('DEL', yard .. ':taken:' .. fence)
        leases[fence] = nil
    end
end

-- -- finished jobs ------------------------------------------------------------------------------

-- A rule is "count,age", either may be empty, or "-" without one.
local function rule_of(job, state)
    local rule = '-'
    if state == 'c' then
        rule = job.keep_completed
    elseif state ~= 's' then
        rule = job.keep_failed
    end
    if rule == '-' then
        return nil
    end
    local most, age = string.match(rule, '^(%d*),(%d*)$')
    return { count = tonumber(most), age = tonumber(age) }
end

-- Finished jobs lie on three shelves: those with a rule of their own apart from the others, so that
-- nobody looks through them for the ones past the general age; and those that unfinished jobs depend
-- on apart from both, so that nobody looks through what may not go (DEP-4).
local SHELVES = { 'done', 'ruled', 'needed' }

local function shelf(queue, state, kind)
    return yard .. ':' .. kind .. ':' .. queue .. ':' .. state
end

local function on_shelves(queue, state)
    local count = 0
    for _, kind in ipairs(SHELVES) do
        count = count + call('ZCARD', shelf(queue, state, kind))
    end
    return count
end

local function shelve(job, state)
    if is_needed(job.id) then
        call('ZADD', shelf(job.queue, state, 'needed'), text(job.finished), job.member)
        return
    end
    local rule = rule_of(job, state)
    local kind = rule and 'ruled' or 'done'
    call('ZADD', shelf(job.queue, state, kind), text(job.finished), job.member)
    if rule and rule.age then
        local entry = job.queue .. '|' .. state .. '|' .. job.member
        call('ZADD', yard .. ':purge', text(job.finished + rule.age), entry)
    end
    if rule and rule.count then
        local of_count = job.queue .. ':' .. state .. ':' .. text(rule.count)
        call('SADD', yard .. ':counts', of_count)
        call('ZADD', yard .. ':newest:' .. of_count, text(job.finished), job.member)
    end
end

local function unshelve(job, state)
    if any('needed') and call('ZREM', shelf(job.queue, state, 'needed'), job.member) == 1 then
        return
    end
    local rule = rule_of(job, state)
    call('ZREM', shelf(job.queue, state, rule and 'ruled' or 'done'), job.member)
    if rule and rule.age then
        call('ZREM', yard .. ':purge', job.queue .. '|' .. state .. '|' .. job.member)
    end
    if rule and rule.count then
        local of_count = job.queue .. ':' .. state .. ':' .. text(rule.count)
        call('ZREM', yard .. ':newest:' .. of_count, job.member)
        if call('EXISTS', yard .. ':newest:' .. of_count) == 0 then
            call('SREM', yard .. ':counts', of_count)
        end
    end
end

-- -- leaving and entering ------------------------------------------------------------------------

-- Notes that a queue loses a job that was waiting, or due.
local function lessen(job)
    if not newcomers[job.id] then
        lessened[job.queue] = true
    end
end

local function leave(job)
    local state = job.state
    if state == 'w' then
        call('ZREM', yard .. ':lane:' .. job.queue .. ':' .. job.lane, line_member(job.member))
        drop_if_empty(job.queue, job.lane)
        lessen(job)
    elseif state == 'd' then
        call('ZREM', yard .. ':delayed:' .. job.queue, delayed_member(job))
        if job.due <= now then
            lessen(job)
        end
    elseif state == 'b' then
        gates.leave(job)
    elseif state == 'a' then
        call('HDEL', yard .. ':running:' .. job.queue, job.id)
        let_go(job.lease, 1)
        if any('limited') then
            limits.finish(job.queue, job.name, 1)
        end
        lessened[job.queue] = true
    else
        unshelve(job, state)
    end
end

-- Lets a job wait, or holds it back: the one way into waiting, but for what is added or promoted
-- many at a time and knows no gates.
local function admit(job, due)
    if job.gated and gates.hold_back(job, due) then
        return
    end
    job.state, job.due = 'w', due
    local score = line_score(job.priority, due, has(job.flags, LIFO))
    line_up(job.queue, job.lane, score, line_member(job.member))
    woken[job.queue] = true
    if job.gated then
        gates.note(job)
    end
end

local function delay(job, due)
    job.state, job.due = 'd', due
    call('ZADD', yard .. ':delayed:' .. job.queue, text(job.due), delayed_member(job))
    woken[job.queue] = true
    if job.gated then
        gates.note(job)
    end
end

local function enter(job, due)
    if due > now then
        delay(job, due)
    else
        admit(job, now)
    end
end

-- -- the end -------------------------------------------------------------------------------------

local function strike_out(members)
    local gone = {}
    for _, member in ipairs(members) do
        local block = math.floor(number_of(member) / BLOCK)
        gone[block] = (gone[block] or 0) + 1
    end
    for block, count in pairs(gone) do
        if call('HINCRBY', yard .. ':blocks', block, -count) <= 0 then
            call('HDEL', yard .. ':blocks', block)
            call('DEL', yard .. ':block:' .. text(block))
        end
    end
end

-- Removes jobs that have left their places, without a trace but the totals.
local function forget_many(members)
    if #members == 0 then
        return
    end
    local ids = {}
    for index, member in ipairs(members) do
        ids[index] = id_of(member)
        if has(flags_of(member), WISHES) then
            keys.let_go(member)
        end
    end
    each_piece('HDEL', yard .. ':jobs', ids)
    each_piece('HDEL', yard .. ':facts', ids)
    each_piece('HDEL', yard .. ':progress', ids)
    each_piece('SREM', yard .. ':cancelling', ids)
    each_piece('ZREM', yard .. ':expiry', ids)
    if call('EXISTS', yard .. ':logged') == 1 then
        for _, id in ipairs(ids) do
            if call('SREM', yard .. ':logged', id) == 1 then
                call('DEL', yard .. ':log:' .. id)
            end
        end
    end
    strike_out(members)
end

local prunable = 1000

-- Removes the oldest finished jobs of a queue in a state beyond a count, a bounded number.
local function prune(queue, state, most)
    local plain, ruled = shelf(queue, state, 'done'), shelf(queue, state, 'ruled')
    local beyond = on_shelves(queue, state) - most
    while beyond > 0 and prunable > 0 do
        local first = call('ZRANGE', plain, 0, 0, 'WITHSCORES')
        local other = call('ZRANGE', ruled, 0, 0, 'WITHSCORES')
        if not first[1] or (other[1] and (tonumber(other[2]) < tonumber(first[2])
            or (other[2] == first[2] and number_of(other[1]) < number_of(first[1])))) then
            first = other
        end
        if not first[1] then
            break
        end
        local job = load(id_of(first[1]))
        unshelve(job, state)
        forget_many({ job.member })
        beyond, prunable = beyond - 1, prunable - 1
    end
end

-- Ends a job, which has left its place, and applies its own rule for its record (SETTLE-11).
local function finish(job, state)
    job.state, job.end_state, job.finished = state, state, now
    if has(job.flags, TTL) then
        call('ZREM', yard .. ':expiry', job.id)
    end
    tally(job.queue, END_COUNTS[state], 1)
    if job.gated then
        gates.strike(job)
    end
    if any('needed') then
        kin.tell(job)
    end
    local rule = rule_of(job, state)
    if rule and rule.count == 0 and not is_needed(job.id) then
        forget_many({ job.member })
        return
    end
    shelve(job, state)
    write_facts(job)
    if rule and rule.count and rule.count > 0 then
        prune(job.queue, state, rule.count)
    end
end

local function fail(job, reason)
    job.reason = reason
    finish(job, job.dead_letter and 'l' or 'f')
end

-- Lets a job that has left its place wait anew, its end forgotten.
local function revive(job)
    job.result, job.error, job.reason, job.finished, job.end_state = nil, nil, nil, nil, nil
    call('SREM', yard .. ':cancelling', job.id)
    if job.ttl then
        job.expires = now + job.ttl
        call('ZADD', yard .. ':expiry', text(job.expires), job.id)
    end
    if job.gated then
        gates.enrol(job)
        kin.attach(job)
    end
    admit(job, now)
    write_facts(job)
end

-- Does for a job that has left its place what has to be done before `forget_many`.
local function let_go_of(job)
    if job.gated then
        gates.strike(job)
    end
    if any('needed') and (not job.end_state or job.end_state == 's') then
        kin.tell(job)
    end
end

local function tell_job(kind, job, data)
    if logging then
        tell(kind, job.queue, job.id, job.name, nil, nil, nil, data)
    end
end

local function tell_run(kind, job, ran, data)
    if logging then
        tell(kind, job.queue, job.id, job.name, job.worker, job.failures + 1, ran, data)
    end
end

local function expired(job)
    return job.expires ~= nil and job.expires <= now
end

-- Ends an unfinished job whose time to live has run out, whoever holds it (REAP-4).
local function expire(job)
    local running = job.state == 'a'
    if running then
        tell_run('failed', job)
    else
        tell_job('failed', job)
    end
    leave(job)
    fail(job, 'expired')
    return running
end
