-- Limits: what a queue, or a name in it, may give now, and when again.
--
-- :limited                  the queues that have any limit or hold
-- :limits:<queue>           'q' or 'n' and the name -> most active|count|period|held until|active|
--                           starts of the latest period
-- :starts:<queue>:<field>   those starts, "fence:jobs" for each claim, by their instants
--
-- How many of a queue are active its leases tell; of a name it is counted while that has a limit.
--
-- table: limits

local LIMITER = '^(%d*)|(%d*)|(%d*)|(%d+)|(%d+)|(%d+)$'

local limited = {} -- queue -> field -> limiter, of the queues that this step has looked at

local function limiter_of(queue, field, row)
    local most, count, per, held_until, active, started = string.match(row, LIMITER)
    return {
        queue = queue, field = field, row = row, most = tonumber(most), count = tonumber(count),
        per = tonumber(per), held_until = tonumber(held_until), active = tonumber(active),
        started = tonumber(started), starts = yard .. ':starts:' .. queue .. ':' .. field,
    }
end

local function row_of(limiter)
    return table.concat({
        text(limiter.most), text(limiter.count), text(limiter.per), text(limiter.held_until),
        text(limiter.active), text(limiter.started),
    }, '|')
end

-- The limiters of a queue by field.
function limits.of(queue)
    if not limited[queue] then
        local found, rows = {}, call('HGETALL', yard .. ':limits:' .. queue)
        for index = 1, #rows, 2 do
            found[rows[index]] = limiter_of(queue, rows[index], rows[index + 1])
        end
        limited[queue] = found
    end
    return limited[queue]
end

-- The limiters that bound the jobs of a lane.
function limits.of_lane(queue, lane)
    local all, found = limits.of(queue), {}
    for _, field in ipairs({ 'q', 'n' .. string.match(lane, '[^/]*$') }) do
        found[#found + 1] = all[field]
    end
    return found
end

at_close[#at_close + 1] = function()
    for queue, of_queue in pairs(limited) do
        for field, limiter in pairs(of_queue) do
            if limiter.forgotten then
                call('ZREMRANGEBYSCORE', limiter.starts, '-inf', text(limiter.forgotten))
            end
            local row = row_of(limiter)
            if row ~= limiter.row then
                call('HSET', yard .. ':limits:' .. queue, field, row)
            end
        end
    end
end

-- Leaves out of account the starts that are a period old; the end of the step removes them.
local function forget_starts(limiter)
    local until_ = now - limiter.per
    if limiter.forgotten ~= until_ then
        limiter.forgotten = until_
        for _, start in ipairs(call('ZRANGEBYSCORE', limiter.starts, '-inf', text(until_))) do
            limiter.started = limiter.started - string.match(start, ':(%d+)$')
        end
    end
end

-- How many jobs may be given now.
function limits.room(limiter)
    if limiter.held_until > now then
        return 0
    end
    local room = math.huge
    if limiter.most then
        local active = limiter.active
        if limiter.field == 'q' then
            active = call('HLEN', yard .. ':running:' .. limiter.queue)
        end
        room = limiter.most - active
    end
    if limiter.count then
        forget_starts(limiter)
        room = math.min(room, limiter.count - limiter.started)
    end
    return math.max(room, 0)
end

-- From when neither the hold nor the rate keeps a job back: now if they do not.
function limits.opens_at(limiter)
    local at = math.max(limiter.held_until, now)
    if limiter.count then
        forget_starts(limiter)
        if limiter.started >= limiter.count then
            local first = call('ZRANGEBYSCORE', limiter.starts, '(' .. text(limiter.forgotten),
                '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
            at = math.max(at, first[2] + limiter.per)
        end
    end
    return at
end

local function start_of(limiter, count, fence)
    if limiter.field ~= 'q' then
        limiter.active = limiter.active + count
    end
    if limiter.count then
        limiter.started = limiter.started + count
        call('ZADD', limiter.starts, text(now), fence .. ':' .. text(count))
    end
end

-- Notes that a claim took jobs of a queue, so many of each name.
function limits.start(queue, names, fence)
    local all, sum = limits.of(queue), 0
    for name, count in pairs(names) do
        sum = sum + count
        if all['n' .. name] then
            start_of(all['n' .. name], count, fence)
        end
    end
    if all.q then
        start_of(all.q, sum, fence)
    end
end

-- Notes that runs of a name ended.
function limits.finish(queue, name, count)
    local limiter = limits.of(queue)['n' .. name]
    if limiter then
        limiter.active = limiter.active - count
    end
end

-- -- setting them -------------------------------------------------------------------------------

local function count_active(queue, field)
    local key, cursor, count = yard .. ':running:' .. queue, '0', 0
    if field == 'q' then
        return 0
    end
    repeat
        local page = call('HSCAN', key, cursor, 'COUNT', 1000)
        cursor = page[1]
        for index = 1, #page[2], 2 do
            local id = page[2][index]
            if 'n' .. read_record(id, call('HGET', yard .. ':jobs', id)).name == field then
                count = count + 1
            end
        end
    until cursor == '0'
    return count
end

local function forget_limiter(limiter)
    call('HDEL', yard .. ':limits:' .. limiter.queue, limiter.field)
    call('DEL', limiter.starts)
    limited[limiter.queue][limiter.field] = nil
end

-- Gives the limiter of a queue or a name, which is new if there was none.
function limits.get(queue, field)
    call('SADD', yard .. ':limited', queue)
    local all = limits.of(queue)
    if not all[field] then
        all[field] = limiter_of(queue, field, '|||0|' .. text(count_active(queue, field)) .. '|0')
        all[field].row = nil
    end
    return all[field]
end

function limits.set(limiter, most, count, per)
    limiter.most = most
    if count ~= limiter.count or per ~= limiter.per then
        call('DEL', limiter.starts)
        limiter.count, limiter.per, limiter.started, limiter.forgotten = count, per, 0, nil
    end
end

-- Forgets the limiters of a queue that limit nothing any more, or all.
function limits.drop(queue, all)
    for _, limiter in pairs(limits.of(queue)) do
        if all or not (limiter.most or limiter.count or limiter.held_until > now) then
            forget_limiter(limiter)
        end
    end
    if next(limits.of(queue)) == nil then
        call('SREM', yard .. ':limited', queue)
    end
end
