-- Removing many jobs from where they stand, a bounded number a step.

local limit, removed, kind = 0, {}, 'removed'

-- The ids of jobs that are looked at one by one: what holds back others, or is held back.
local special = {}

local function room()
    return limit - #removed - #special
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

-- Notes which of some members, given by their entries in a line, are special; tells the others.
local function plain_of(members, entries)
    local ids = {}
    for index, member in ipairs(members) do
        ids[index] = id_of(member)
    end
    local needed, plain = any('needed') and kin.among(ids) or {}, {}
    for index, member in ipairs(members) do
        if has(flags_of(member), WISHES) or needed[ids[index]] then
            special[#special + 1] = ids[index]
        else
            plain[#plain + 1] = entries[index]
        end
    end
    return plain
end

-- Ends the step: removes the special ones, which may let others on meanwhile, and forgets all.
local function forget_removed()
    local ids = special
    special = {}
    for _, id in ipairs(ids) do
        local job = load(id)
        leave(job)
        let_go_of(job)
        remove(job.member, job.queue, job.name)
    end
    forget_many(removed)
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
        local plain = plain_of(members, members)
        if #plain > 0 then
            each_piece('ZREM', key, plain)
            drop_if_empty(queue, lane)
            lessened[queue] = true
        end
        for _, member in ipairs(plain) do
            remove(true_member(member), queue, string.match(lane, '[^/]*$'))
        end
    end
end

local function drain_delayed(queue)
    local key = yard .. ':delayed:' .. queue
    if room() <= 0 then
        return
    end
    local entries = call('ZRANGE', key, 0, room() - 1)
    local members = {}
    for index, entry in ipairs(entries) do
        members[index] = string.match(entry, '^(.*)|[^|]*|[^|]*$')
    end
    local plain = plain_of(members, entries)
    if #plain > 0 then
        if tonumber(call('ZSCORE', key, plain[1])) <= now then
            lessened[queue] = true
        end
        each_piece('ZREM', key, plain)
    end
    for _, entry in ipairs(plain) do
        local member, name = string.match(entry, '^(.*)|[^|]*|[^/|]*/([^|]*)$')
        remove(member, queue, name)
    end
end

local function drain_blocked(queue)
    if room() > 0 then
        for _, id in ipairs(call('SRANDMEMBER', yard .. ':blocked:' .. queue, room())) do
            special[#special + 1] = id
        end
    end
end

-- Removes the oldest of a shelf, those that finished before an instant or all.
local function clear_shelf(queue, state, on, before)
    if room() <= 0 then
        return
    end
    local key = shelf(queue, state, on)
    local members = call('ZRANGEBYSCORE', key, '-inf', before and '(' .. text(before) or '+inf',
        'LIMIT', 0, room())
    for _, member in ipairs(members) do
        local job = load(id_of(member))
        unshelve(job, state)
        let_go_of(job)
        remove(member, queue, job.name)
    end
end

local function sorted_queues()
    local names = call('HKEYS', yard .. ':queues')
    table.sort(names)
    return names
end
