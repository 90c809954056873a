-- queues: shows queues, all or some.
--
-- flags: no-writes
-- include: step member job moves limits
-- Arguments: now, and the names of the queues to show; none for all.
-- Result: for each that is known its name, its word, the earliest waiting due or empty, and its
-- jobs waiting, delayed, blocked, active, completed, failed, cancelled, stalled and dead; then its
-- limits, each of field and row as parts/limits.lua says.
-- Effect: none.

local names = several(#ARGV - 1)
if #names == 0 then
    names = call('HKEYS', yard .. ':queues')
end

-- The earliest due of a lane: the first of each priority's later half, or the last of its LIFO
-- half, where dues run backwards.
local function earliest_in(key)
    local earliest
    local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    while first[1] do
        local band = math.floor(tonumber(first[2]) / BAND) * BAND
        local normal = call('ZRANGEBYSCORE', key, text(band + MIDDLE), '(' .. text(band + BAND),
            'WITHSCORES', 'LIMIT', 0, 1)
        local lifo = call('ZREVRANGEBYSCORE', key, '(' .. text(band + MIDDLE), text(band),
            'WITHSCORES', 'LIMIT', 0, 1)
        if normal[1] then
            earliest = math.min(earliest or LAST_INSTANT, normal[2] - band - MIDDLE)
        end
        if lifo[1] then
            earliest = math.min(earliest or LAST_INSTANT, band + LAST_INSTANT - lifo[2])
        end
        first = call('ZRANGEBYSCORE', key, text(band + BAND), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    end
    return earliest
end

local function show(queue, word)
    local waiting, earliest = 0, nil
    for _, lane in ipairs(call('SMEMBERS', yard .. ':lanes:' .. queue)) do
        local key = yard .. ':lane:' .. queue .. ':' .. lane
        waiting = waiting + call('ZCARD', key)
        local due = earliest_in(key)
        if due and (not earliest or due < earliest) then
            earliest = due
        end
    end
    local shown = {
        queue, word, text(earliest), waiting, call('ZCARD', yard .. ':delayed:' .. queue),
        call('SCARD', yard .. ':blocked:' .. queue), call('HLEN', yard .. ':running:' .. queue),
    }
    for state in string.gmatch('cfxsl', '.') do
        shown[#shown + 1] = on_shelves(queue, state)
    end
    shown[#shown + 1] = call('HGETALL', yard .. ':limits:' .. queue)
    return shown
end

local shown = {}
for _, queue in ipairs(names) do
    local word = call('HGET', yard .. ':queues', queue)
    if word then
        shown[#shown + 1] = show(queue, word)
    end
end
return shown
