-- find: lists jobs in insertion order or against it, a bounded stretch of numbers.
--
-- flags: no-writes
-- include: step member job moves showing
-- Arguments: now, the number to go on from or empty, 1 for newest first, the most jobs to show and
-- the most to look at, queue or empty, states as characters
-- after a '-' or empty, created from and until or
-- empty, the number of names or -1 for any, the names.
-- Result: the number that the next stretch goes on from or empty, and what parts/showing.lua tells
-- of each job.
-- Effect: none.

local after, newest_first = number(), arg() == '1'
local limit, patience = number(), number()
local queue, states, from, until_ = arg(), arg(), number(), number()
local names = number()
names = names >= 0 and several(names) or nil

local function passes(job)
    if queue ~= '' and job.queue ~= queue then
        return false
    end
    if (from and job.created < from) or (until_ and job.created >= until_) then
        return false
    end
    if names then
        local named = false
        for _, name in ipairs(names) do
            named = named or name == job.name
        end
        if not named then
            return false
        end
    end
    return states == '' or string.find(states, job.state, 1, true) ~= nil
end

local latest = tonumber(call('HGET', yard, 'number') or 0)
local step = newest_first and -1 or 1
local start = after and after + step or (newest_first and latest or 1)
local STRIDE = 500

-- The next block, in the direction asked for, that has any job; nothing after the last.
local function next_block(block)
    local last = math.floor(latest / BLOCK)
    while block >= 0 and block <= last do
        local wanted = {}
        for index = 0, STRIDE - 1 do
            wanted[index + 1] = text(block + step * index)
        end
        local live = call('HMGET', yard .. ':blocks', unpack(wanted))
        for index = 1, STRIDE do
            if live[index] then
                return block + step * (index - 1)
            end
        end
        block = block + step * STRIDE
    end
    return nil
end

-- The numbers and ids of the jobs that were added in a block; some may have gone since.
local function entries_of(block)
    local found = {}
    local entries, at = call('GET', yard .. ':block:' .. text(block)), 1
    while at <= #entries do
        local place, size = string.byte(entries, at, at + 1)
        local entry = { block * BLOCK + place, string.sub(entries, at + 2, at + 1 + size) }
        table.insert(found, newest_first and 1 or #found + 1, entry)
        at = at + 2 + size
    end
    return found
end

local shown, last_seen = {}, nil
local block = next_block(math.floor(start / BLOCK))
while block do
    for _, entry in ipairs(entries_of(block)) do
        local of_job, id = entry[1], entry[2]
        if (of_job - start) * step >= 0 then
            if #shown >= limit or patience <= 0 then
                return { text(last_seen), shown }
            end
            patience = patience - 1
            local job = load(id)
            if job and number_of(job.member) == of_job and passes(job) then
                shown[#shown + 1] = show(job)
            end
            last_seen = of_job
        end
    end
    block = next_block(block + step)
end
return { '', shown }
