-- The end of a step: writes its counts and events, and wakes whoever listens.

local MINUTES_KEPT = 180
local FIELDS_KEPT = 2400

-- Adds the minutes that are too old to be told apart to those before, when there are many.
local function fold(key, minute)
    if call('HLEN', key) <= FIELDS_KEPT then
        return
    end
    local fields = call('HGETALL', key)
    for index = 1, #fields, 2 do
        local at, kind = string.match(fields[index], '^(%d+)(%a)$')
        if tonumber(at) > 0 and tonumber(at) < minute - MINUTES_KEPT then
            if kind == 'p' then
                local before = tonumber(call('HGET', key, '0p')) or 0
                call('HSET', key, '0p', math.max(before, tonumber(fields[index + 1])))
            else
                call('HINCRBY', key, '0' .. kind, fields[index + 1])
            end
            call('HDEL', key, fields[index])
        end
    end
end

local function count(queue, kinds)
    local key = yard .. ':tally:' .. queue
    local minute = math.floor(now / 60000)
    for kind, amount in pairs(kinds) do
        local field = text(minute) .. kind
        if kind == 'p' then
            if (tonumber(call('HGET', key, field)) or 0) < amount then
                call('HSET', key, field, amount)
            end
        elseif amount ~= 0 and call('HINCRBY', key, field, text(amount)) == amount then
            fold(key, minute)
        end
    end
end

local function is_busy(queue)
    return call('EXISTS', yard .. ':lanes:' .. queue) == 1
        or call('EXISTS', yard .. ':running:' .. queue) == 1
        or call('ZCOUNT', yard .. ':delayed:' .. queue, '-inf', text(now)) > 0
end

local EVENTS_KEPT = 10000

local function tell_drained()
    local names = {}
    for queue in pairs(lessened) do
        names[#names + 1] = queue
    end
    table.sort(names)
    for _, queue in ipairs(names) do
        if not is_busy(queue) then
            tell('drained', queue)
        end
    end
end

local function close()
    for _, finish_up in ipairs(at_close) do
        finish_up()
    end
    for queue, kinds in pairs(counts) do
        count(queue, kinds)
    end
    if logging then
        tell_drained()
        if #told > 0 then
            each_piece('RPUSH', yard .. ':events', told)
            call('HINCRBY', yard, 'event', #told)
            call('LTRIM', yard .. ':events', -EVENTS_KEPT, -1)
            call('PUBLISH', yard .. ':wake', '')
        end
    end
    for queue in pairs(woken) do
        call('PUBLISH', yard .. ':wake', queue)
    end
end
