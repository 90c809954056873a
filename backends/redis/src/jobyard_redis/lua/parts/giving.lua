-- Giving: the claim itself, in the order of its steps.

local function promote(open, instant)
    gates.horizon = instant
    for _, queue in ipairs(open) do
        local due = due_members(queue, instant)
        local gone = {}
        for index = 1, #due, 2 do
            local member, priority, lane = string.match(due[index], DELAYED)
            if has(flags_of(member), WISHES) then
                local job = load(id_of(member))
                leave(job)
                admit(job, job.due)
            else
                local score = line_score(tonumber(priority), due[index + 1],
                    has(flags_of(member), LIFO))
                line_up(queue, lane, score, line_member(member))
                gone[#gone + 1] = due[index]
            end
        end
        if #gone > 0 then
            each_piece('ZREM', yard .. ':delayed:' .. queue, gone)
            lessened[queue], woken[queue] = true, true
        end
    end
end

-- The job of a member, if its time to live has run out (CLAIM-11).
local function past_its_time(member)
    local job = has(flags_of(member), TTL) and load(id_of(member))
    return job and expired(job) and job or nil
end

-- Sorts what a claim takes: notes the id of a job that is given, or the job if it is past its time.
local function sort_in(taken, member, queue, lane)
    local flags, id = string.byte(member, 6) - FIRST, nil
    if flags < 0 then
        id = string.sub(member, 6)
    else
        local past = past_its_time(member)
        if past then
            taken.past[#taken.past + 1] = past
            return false
        end
        id = id_of(member)
        if has(flags, WISHES) then
            taken.with_wishes[#taken.with_wishes + 1] = id
        end
    end
    local at = #taken.ids + 1
    taken.ids[at] = id
    if queue then
        taken.queues[at], taken.lanes[at] = queue, lane
    end
    return true
end

-- Takes the head of a lane, or of several: ids, those of them with wishes, the queue and the lane
-- or, of several, those of each; and the jobs that are past their time. Those take nobody's place,
-- as long as they are not very many.
local function take_head(cursors, limit)
    local taken = { ids = {}, with_wishes = {}, past = {} }
    if #cursors == 1 then
        local cursor = cursors[1]
        local most = math.min(limit, cursor.source.limit)
        for _, limiter in ipairs(cursor.limiters) do
            most = math.min(most, limiter.left)
        end
        taken.queue, taken.lane = cursor.queue, cursor.lane
        local members = call('ZRANGE', cursor.key, 0, most - 1)
        cursor.taken = #members
        for index = 1, #members do
            sort_in(taken, members[index])
        end
    else
        taken.queues, taken.lanes = {}, {}
        merge(cursors, limit, function(cursor)
            cursor.taken = (cursor.taken or 0) + 1
            return sort_in(taken, cursor.member, cursor.queue, cursor.lane)
                or #taken.ids + #taken.past >= MAX_BATCH
        end)
    end
    for _, cursor in ipairs(cursors) do
        if cursor.taken and cursor.taken > 0 then
            call('ZREMRANGEBYRANK', cursor.key, 0, cursor.taken - 1)
            drop_if_empty(cursor.queue, cursor.lane)
            lessened[cursor.queue] = true
        end
    end
    return taken
end

-- Notes for the limiters of a queue what a claim took of it.
local function count_started(queue, taken, fence)
    if not any('limited') then
        return
    end
    local names = {}
    for index = 1, #taken.ids do
        if not taken.queues or taken.queues[index] == queue then
            local lane = taken.lane or taken.lanes[index]
            local name = string.match(lane, '[^/]*$')
            names[name] = (names[name] or 0) + 1
        end
    end
    limits.start(queue, names, fence)
end

-- The ids of a claim for parts/holding.lua, each behind its length.
local function list_of(ids)
    local size, alike = #ids[1], true
    for index = 2, #ids do
        alike = alike and #ids[index] == size
    end
    if alike then
        local before = string.char(size)
        return before .. table.concat(ids, before)
    end
    local entries = {}
    for index, id in ipairs(ids) do
        entries[index] = string.char(#id) .. id
    end
    return table.concat(entries)
end

local function list_of_several(ids, queues)
    local entries = {}
    for index, id in ipairs(ids) do
        entries[index] = queues[index] .. '|' .. id
    end
    return list_of(entries)
end

-- The ids of a claim by queue, each followed by the fence.
local function held_by_queue(taken, fence)
    local of_queue = {}
    for index, id in ipairs(taken.ids) do
        local queue = taken.queue or taken.queues[index]
        local held = of_queue[queue]
        if not held then
            held = {}
            of_queue[queue] = held
        end
        local at = #held
        held[at + 1], held[at + 2] = id, fence
    end
    return of_queue
end

-- A hash of a few hundred short values is searched from its start for each field. One value that is
-- longer than the servers take for short makes it one that is looked up in: the end of a lease, which
-- may stand beside the fence, with zeroes before it.
local MANY = 16
local function not_short(held, fence, ends)
    if #held >= 2 * MANY then
        held[2] = fence .. ':' .. string.format('%065.0f', ends)
    end
end

-- Leases jobs to the worker of a claim, all under one fence (CLAIM-6).
local function lease_out(want, taken)
    local fence, ids = text(call('HINCRBY', yard, 'fence', 1)), taken.ids
    local of_queue = held_by_queue(taken, fence)
    local only = next(of_queue)
    if next(of_queue, only) then
        only = nil
    end
    local list = only and only .. '\n' .. list_of(ids) or '\n' .. list_of_several(ids, taken.queues)
    local ends = text(now + want.ttl)
    call('HSET', yard .. ':leases', fence,
        ends .. '|' .. text(now) .. '|' .. want.lease_id .. '|' .. want.worker)
    call('HSET', yard .. ':fences', want.lease_id, fence)
    call('HSET', yard .. ':held', fence, #ids)
    call('SET', yard .. ':taken:' .. fence, list)
    call('ZADD', yard .. ':ends', ends, fence)
    for queue, held in pairs(of_queue) do
        local key = yard .. ':running:' .. queue
        not_short(held, fence, now + want.ttl)
        each_piece('HSET', key, held)
        count_started(queue, taken, fence)
        tally(queue, 's', #held / 2)
        tally(queue, 'p', call('HLEN', key))
    end
    return fence
end

-- Takes the slots of those that have a rate.
local function start(ids)
    for _, id in ipairs(ids) do
        local job = load(id)
        if job.rate then
            gates.start(job)
        end
    end
end

local function tell_active(want, taken, records, facts)
    for index, id in ipairs(taken.ids) do
        local job = read_record(id, records[index])
        if facts[index] then
            read_facts(job, facts[index])
        end
        tell('active', job.queue, id, job.name, want.worker, job.failures + 1)
    end
end

-- The answer: now, the next due or empty, the fence, the end of the leases, and for each job its
-- id, its record, its facts, and the end of its own lease where that is another.
local function answer(due, fence, ends, ids, own_ends)
    if #ids == 0 then
        return { text(now), text(due), '', '', {}, {}, {}, {} }
    end
    return {
        text(now), text(due), fence, text(ends), ids, many('HMGET', yard .. ':jobs', ids),
        many('HMGET', yard .. ':facts', ids), own_ends,
    }
end

-- Whether anybody waits in a lane who may be given; those past their time to live are ended.
local function is_awaited(key, may_change)
    for _ = 1, MAX_BATCH do
        local head = call('ZRANGE', key, 0, 0)[1]
        if not head then
            return false
        end
        local past = may_change and past_its_time(head)
        if not past then
            return true
        end
        expire(past)
    end
    return true
end

-- The earliest instant from which neither a hold nor a rate keeps back what waits in some lane.
local function openings(want, open)
    local earliest
    for _, source in ipairs(want.sources) do
        local is_limited = any('limited') and open[source.queue] and source.most > 0
            and next(limits.of(source.queue)) ~= nil
        for _, lane in ipairs(is_limited and lanes_of(source) or {}) do
            local at = now
            for _, limiter in ipairs(limits.of_lane(source.queue, lane)) do
                at = math.max(at, limits.opens_at(limiter))
            end
            if at > now and at < (earliest or math.huge)
                and is_awaited(yard .. ':lane:' .. source.queue .. ':' .. lane, want.limit > 0) then
                earliest = at
            end
        end
    end
    return earliest
end

local function give_again(want, lease, open)
    local ids, own_ends = {}, {}
    for index, each in ipairs(taken_by(lease)) do
        ids[index], own_ends[index] = each.id, text(each.ends)
    end
    return answer(next_due(open, openings(want, open)), lease.fence, lease.ends, ids, own_ends)
end

local function claim(want)
    local open = open_queues(want)
    if want.limit <= 0 or #want.sources == 0 then
        return answer(next_due(open, openings(want, open)), nil, nil, {}, {})
    end
    local lease = lease_named(want.lease_id)
    if lease then
        return give_again(want, lease, open)
    end
    promote(open, want.instant)
    local taken = take_head(cursors_of(want, open), want.limit)
    for _, job in ipairs(taken.past) do
        expire(job)
    end
    local ids = taken.ids
    local is_short = #taken.past > 0 and #ids < want.limit
    if #ids == 0 then
        local due = is_short and now or next_due(open, openings(want, open))
        return answer(due, nil, nil, ids, {})
    end
    local fence = lease_out(want, taken)
    start(taken.with_wishes)
    local due = is_short and now or next_due(open, openings(want, open))
    local found = answer(due, fence, now + want.ttl, ids, {})
    if logging then
        tell_active(want, taken, found[6], found[7])
    end
    return found
end
