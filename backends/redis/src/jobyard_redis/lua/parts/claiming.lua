-- Claiming: what settle, which claims as well, and peek share.
--
-- Arguments: lease id, worker, limit, time to live, as_of or empty, and the number of sources; each
-- of queue, limit, the number of names or -1 for any, the names, the number of channels or -1 for
-- any, the channels.

local MAX_BATCH, MAX_PROMOTED = 1000, 1000

local function read_source()
    local source = { queue = arg(), limit = number() }
    source.most = source.limit
    local names = number()
    source.names = names >= 0 and several(names) or nil
    local channels = number()
    source.channels = channels >= 0 and several(channels) or nil
    return source
end

local function read_want()
    local want = {
        lease_id = arg(), worker = arg(), limit = math.min(number(), MAX_BATCH), ttl = number(),
    }
    want.instant = math.max(number() or now, now)
    want.sources = {}
    for index = 1, number() do
        want.sources[index] = read_source()
    end
    return want
end

-- The queues of the sources, each once, that are known, not paused and not being obliterated.
local function open_queues(want)
    local names, seen = {}, {}
    for _, source in ipairs(want.sources) do
        if not seen[source.queue] then
            seen[source.queue] = true
            names[#names + 1] = source.queue
        end
    end
    local open = {}
    if #names > 0 then
        local controls = many('HMGET', yard .. ':queues', names)
        for index, name in ipairs(names) do
            if controls[index] == '' then
                open[#open + 1] = name
                open[name] = true
            end
        end
    end
    return open
end

-- When the earliest delayed job of some queues is due, or what waits in the lanes of the sources and
-- is kept back by a hold or a rate may be given (LIMIT-5), if that is before.
local function next_due(open, openings)
    local earliest = openings
    for _, queue in ipairs(open) do
        local first = call('ZRANGE', yard .. ':delayed:' .. queue, 0, 0, 'WITHSCORES')
        if first[1] and (not earliest or tonumber(first[2]) < earliest) then
            earliest = tonumber(first[2])
        end
    end
    return earliest
end

local function due_members(queue, instant)
    return call('ZRANGEBYSCORE', yard .. ':delayed:' .. queue, '-inf', text(instant),
        'WITHSCORES', 'LIMIT', 0, MAX_PROMOTED)
end

local DELAYED = '^(.*)|(-?%d+)|([^|]*)$'

local function as_set(list)
    local set = {}
    for _, each in ipairs(list) do
        set[each] = true
    end
    return set
end

local function serves(source, lane)
    local channel, name = string.match(lane, '^([^/]*)/(.*)$')
    source.name_set = source.name_set or (source.names and as_set(source.names))
    source.channel_set = source.channel_set or (source.channels and as_set(source.channels))
    return (not source.name_set or source.name_set[name])
        and (not source.channel_set or source.channel_set[channel])
end

-- The lanes of a source that may have jobs. Few that are named are looked at without asking which
-- there are, since there may be many others.
local function lanes_of(source)
    local key = yard .. ':lanes:' .. source.queue
    local names, channels = source.names, source.channels
    local found = {}
    if names and channels and #names * #channels <= call('SCARD', key) then
        for _, channel in ipairs(channels) do
            for _, name in ipairs(names) do
                found[#found + 1] = channel .. '/' .. name
            end
        end
        return found
    end
    for _, lane in ipairs(call('SMEMBERS', key)) do
        if serves(source, lane) then
            found[#found + 1] = lane
        end
    end
    return found
end

-- -- merging -------------------------------------------------------------------------------------

-- A cursor on a lane: a chunk of members and scores, a place in it, how many were taken.
local function refill(cursor)
    local from = cursor.base + #cursor.chunk / 2
    if cursor.key and (#cursor.chunk == 0 or cursor.full) then
        cursor.chunk = call('ZRANGE', cursor.key, from, from + cursor.size - 1, 'WITHSCORES')
        cursor.full = #cursor.chunk == 2 * cursor.size
        cursor.base, cursor.at = from, 1
        return #cursor.chunk > 0
    end
    return false
end

local function settle_on(cursor)
    local member = cursor.chunk[cursor.at]
    if not member then
        if not refill(cursor) then
            return false
        end
        member = cursor.chunk[1]
    end
    cursor.member, cursor.score = member, tonumber(cursor.chunk[cursor.at + 1])
    return true
end

local function before(one, other)
    if one.score ~= other.score then
        return one.score < other.score
    end
    return number_of(one.member) < number_of(other.member)
end

local function sift_down(heap, at, size)
    local cursor = heap[at]
    while true do
        local child = 2 * at
        if child > size then
            break
        end
        if child < size and before(heap[child + 1], heap[child]) then
            child = child + 1
        end
        if not before(heap[child], cursor) then
            break
        end
        heap[at] = heap[child]
        at = child
    end
    heap[at] = cursor
end

-- Whether the source of a cursor, and the limiters that bound its jobs, leave room for another.
local function has_room(cursor)
    if cursor.source.limit <= 0 then
        return false
    end
    for _, limiter in ipairs(cursor.limiters) do
        if limiter.left <= 0 then
            return false
        end
    end
    return true
end

local function use_room(cursor, count)
    cursor.source.limit = cursor.source.limit - count
    for _, limiter in ipairs(cursor.limiters) do
        limiter.left = limiter.left - count
    end
end

-- Goes through the common head of all cursors, in claim order; `take` says whether a job counts.
local function merge(cursors, limit, take)
    local heap, size, chosen = {}, 0, 0
    for _, cursor in ipairs(cursors) do
        if settle_on(cursor) then
            size = size + 1
            heap[size] = cursor
        end
    end
    for at = math.floor(size / 2), 1, -1 do
        sift_down(heap, at, size)
    end
    while size > 0 and chosen < limit do
        local cursor = heap[1]
        local goes_on = has_room(cursor)
        if goes_on then
            if take(cursor) then
                chosen = chosen + 1
                use_room(cursor, 1)
            end
            cursor.at = cursor.at + 2
            goes_on = has_room(cursor) and settle_on(cursor)
        end
        if not goes_on then
            heap[1] = heap[size]
            heap[size] = nil
            size = size - 1
        end
        if size > 1 then
            sift_down(heap, 1, size)
        end
    end
end

-- The limiters of a lane, each with what room it leaves; lanes share them.
local NO_LIMITERS = {}
local function limiters_of(queue, lane)
    if not any('limited') then
        return NO_LIMITERS
    end
    local found = limits.of_lane(queue, lane)
    for _, limiter in ipairs(found) do
        limiter.left = limiter.left or limits.room(limiter)
    end
    return found
end

local function cursors_of(want, open)
    local cursors = {}
    for _, source in ipairs(want.sources) do
        if open[source.queue] and source.limit > 0 then
            for _, lane in ipairs(lanes_of(source)) do
                local cursor = {
                    source = source, queue = source.queue, lane = lane,
                    key = yard .. ':lane:' .. source.queue .. ':' .. lane,
                    chunk = {}, base = 0, at = 1, limiters = limiters_of(source.queue, lane),
                }
                if has_room(cursor) then
                    cursors[#cursors + 1] = cursor
                end
            end
        end
    end
    for _, cursor in ipairs(cursors) do
        cursor.size = math.ceil(want.limit / #cursors) + 6
    end
    return cursors
end
