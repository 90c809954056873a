-- A step: one call on the yard at one instant, and what it leaves to be counted and told.
--
-- KEYS[1] is the yard, a hash of its version and its counters, and the root of the other keys'
-- names: they are it, a colon and a suffix, so that all of a namespace is in the slot of its tag.
-- ARGV[1] is now in milliseconds, or empty for the server's own time.

local call = redis.call
local yard = KEYS[1]

local function server_now()
    local time = call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

local now = tonumber(ARGV[1]) or server_now()

local position = 1
local function arg()
    position = position + 1
    return ARGV[position]
end
local function number()
    return tonumber(arg())
end
local function several(count)
    local found = {}
    for index = 1, count do
        found[index] = arg()
    end
    return found
end

-- Whole numbers as text: tostring would write the large ones with an exponent.
local function text(value)
    return value and string.format('%.0f', value) or ''
end

-- One command over many arguments, in pieces that fit on Lua's stack; the answers are added up.
local PIECE = 4000
local function each_piece(command, key, values)
    local sum = 0
    for first = 1, #values, PIECE do
        local last = math.min(first + PIECE - 1, #values)
        sum = sum + call(command, key, unpack(values, first, last))
    end
    return sum
end

local function many(command, key, values)
    local found = {}
    for first = 1, #values, PIECE do
        local last = math.min(first + PIECE - 1, #values)
        local piece = call(command, key, unpack(values, first, last))
        for index = 1, #piece do
            found[#found + 1] = piece[index]
        end
    end
    return found
end

-- Counts, by queue and kind; `close` writes them to the present minute.
local counts = {}
local function tally(queue, kind, amount)
    local of_queue = counts[queue]
    if not of_queue then
        of_queue = {}
        counts[queue] = of_queue
    end
    of_queue[kind] = (of_queue[kind] or 0) + amount
end

-- Queues that got something to claim, queues that lost something, and the jobs that were neither
-- waiting nor due nor active before the step: losing one of these is no loss (EVENTS-6).
local woken, lessened, newcomers = {}, {}, {}

-- What the end of the step does before it counts and tells; the parts that leave it something add
-- to it.
local at_close = {}

-- An id that is kept as 16 bytes, as parts/member.lua says, the way it is spelled; and back.
local function spelled(id)
    if #id ~= 16 or string.byte(id, 9) < 128 then
        return id
    end
    return (string.gsub(id, '.', function(byte)
        return string.format('%02x', string.byte(byte))
    end))
end

local function packed(id)
    if #id ~= 32 or not string.find(id, '^%x*$') or not string.find(id, '^[89ab]', 17)
        or string.find(id, '%u') then
        return id
    end
    return (string.gsub(id, '..', function(digits)
        return string.char(tonumber(digits, 16))
    end))
end

-- Events are written while a subscription lives.
local logging = call('ZCOUNT', yard .. ':subscriptions', '(' .. text(now), '+inf') > 0
local told = {}
local function tell(kind, queue, id, name, worker, attempt, ran, data)
    told[#told + 1] = table.concat({
        kind, text(now), queue, id and spelled(id) or '', name or '', worker or '', text(attempt), text(ran),
        data and #data or '-1',
    }, '|') .. '\n' .. (data or '')
end
