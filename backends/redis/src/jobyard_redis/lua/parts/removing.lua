-- Removing many jobs from where they stand, a bounded number a step.

local limit, removed, kind = 0, {}, 'removed'

local function room()
    return limit - #removed
end

-- Notes a job that has left its place as removed.
local function remove(member, queue, name)
    if logging then
        tell(kind, queue, id_of(member), name)
    end
    if kind == 'removed' then
        tally(queue, 'd', 1)
    end
    removed[#removed + 1] = member
end

local function true_member(member)
    return line_member(member) -- turning it round twice is turning it not at all
end

local function drain_lanes(queue)
    for _, lane in ipairs(call('SMEMBERS', yard .. ':lanes:' .. queue)) do
        if room() <= 0 then
            return
        end
        local key = yard .. ':lane:' .. queue .. ':' .. lane
        local members = call('ZRANGE', key, 0, room() - 1)
        call('ZREMRANGEBYRANK', key, 0, #members - 1)
        drop_if_empty(queue, lane)
        lessened[queue] = true
        for _, member in ipairs(members) do
            remove(true_member(member), queue, string.match(lane, '[^/]*$'))
        end
    end
end

local function drain_delayed(queue)
    local key = yard .. ':delayed:' .. queue
    if room() <= 0 then
        return
    end
    local members = call('ZRANGE', key, 0, room() - 1, 'WITHSCORES')
    for index = 1, #members, 2 do
        local member, name = string.match(members[index], '^(.*)|[^|]*|[^/|]*/([^|]*)$')
        if tonumber(members[index + 1]) <= now then
            lessened[queue] = true
        end
        remove(member, queue, name)
    end
    if #members > 0 then
        call('ZREMRANGEBYRANK', key, 0, #members / 2 - 1)
    end
end

-- Removes the oldest of a shelf, those that finished before an instant or all.
local function clear_shelf(queue, state, ruled, before)
    if room() <= 0 then
        return
    end
    local key = shelf(queue, state, ruled)
    local members = call('ZRANGEBYSCORE', key, '-inf', before and '(' .. text(before) or '+inf',
        'LIMIT', 0, room())
    for _, member in ipairs(members) do
        local job = load(id_of(member))
        unshelve(job, state)
        remove(member, queue, job.name)
    end
end

local function sorted_queues()
    local names = call('HKEYS', yard .. ':queues')
    table.sort(names)
    return names
end
