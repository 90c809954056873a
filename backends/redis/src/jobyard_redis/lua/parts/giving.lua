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

-- Takes the head of a lane, or of several: members, and queue and lane of each, and the jobs among
-- them that are past their time. Those take nobody's place, as long as they are not very many.
local function take_head(cursors, limit)
    local members, queues, lanes, past = {}, {}, {}, {}
    if #cursors == 1 then
        local cursor = cursors[1]
        local most = math.min(limit, cursor.source.limit)
        for _, limiter in ipairs(cursor.limiters) do
            most = math.min(most, limiter.left)
        end
        members = call('ZRANGE', cursor.key, 0, most - 1)
        cursor.taken = #members
        for index, member in ipairs(members) do
            queues[index], lanes[index] = cursor.queue, cursor.lane
            past[index] = past_its_time(member)
        end
    else
        merge(cursors, limit, function(cursor)
            cursor.taken = (cursor.taken or 0) + 1
            local index = #members + 1
            members[index], queues[index], lanes[index] = cursor.member, cursor.queue, cursor.lane
            past[index] = past_its_time(cursor.member)
            return not past[index] or index >= MAX_BATCH
        end)
    end
    for _, cursor in ipairs(cursors) do
        if cursor.taken and cursor.taken > 0 then
            call('ZREMRANGEBYRANK', cursor.key, 0, cursor.taken - 1)
            drop_if_empty(cursor.queue, cursor.lane)
            lessened[cursor.queue] = true
        end
    end
    return members, queues, lanes, past
end

-- Notes for the limiters of a queue what a claim took of it.
local function count_started(queue, queues, lanes, fence)
    if not any('limited') then
        return
    end
    local names = {}
    for index, of_job in ipairs(queues) do
        if of_job == queue then
            local name = string.match(lanes[index], '[^/]*$')
            names[name] = (names[name] or 0) + 1
        end
    end
    limits.start(queue, names, fence)
end

-- Leases jobs to the worker of a claim, all under one fence (CLAIM-6).
local function lease_out(want, ids, queues, lanes)
    local fence = text(call('HINCRBY', yard, 'fence', 1))
    local of_queue, mixed, lines = {}, false, {}
    for index, id in ipairs(ids) do
        local queue = queues[index]
        local held = of_queue[queue]
        if not held then
            held = {}
            of_queue[queue] = held
        end
        held[#held + 1] = id
        held[#held + 1] = fence
        mixed = mixed or queue ~= queues[1]
    end
    if mixed then
        for index, id in ipairs(ids) do
            lines[index] = queues[index] .. '|' .. id
        end
    end
    local list = mixed and '\n' .. table.concat(lines, '\n')
        or queues[1] .. '\n' .. table.concat(ids, '\n')
    local ends = text(now + want.ttl)
    call('HSET', yard .. ':leases', fence,
        ends .. '|' .. text(now) .. '|' .. want.lease_id .. '|' .. want.worker)
    call('HSET', yard .. ':fences', want.lease_id, fence)
    call('HSET', yard .. ':held', fence, #ids)
    call('SET', yard .. ':taken:' .. fence, list)
    call('ZADD', yard .. ':ends', ends, fence)
    for queue, held in pairs(of_queue) do
        local key = yard .. ':running:' .. queue
        each_piece('HSET', key, held)
        count_started(queue, queues, lanes, fence)
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

local function tell_active(want, ids, queues, records, facts)
    for index, id in ipairs(ids) do
        local job = read_record(id, records[index])
        if facts[index] then
            read_facts(job, facts[index])
        end
        tell('active', queues[index], id, job.name, want.worker, job.failures + 1)
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
    local members, queues, lanes, past = take_head(cursors_of(want, open), want.limit)
    local ids, from, of_lane, with_wishes = {}, {}, {}, {}
    for index, member in ipairs(members) do
        if past[index] then
            expire(past[index])
        else
            local at = #ids + 1
            ids[at], from[at], of_lane[at] = id_of(member), queues[index], lanes[index]
            if has(flags_of(member), WISHES) then
                with_wishes[#with_wishes + 1] = ids[at]
            end
        end
    end
    local is_short = #ids < #members and #ids < want.limit
    if #ids == 0 then
        local due = is_short and now or next_due(open, openings(want, open))
        return answer(due, nil, nil, ids, {})
    end
    local fence = lease_out(want, ids, from, of_lane)
    start(with_wishes)
    local due = is_short and now or next_due(open, openings(want, open))
    local found = answer(due, fence, now + want.ttl, ids, {})
    if logging then
        tell_active(want, ids, from, found[6], found[7])
    end
    return found
end
