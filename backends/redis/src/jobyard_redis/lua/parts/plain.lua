-- Adding jobs that nothing may hold back: what most are, added many at a time.
--
-- Arguments: the number of shapes, each of queue, lane, priority, flags, when, time to live, size of
-- the options and the rest of the record's line; the number of jobs, each of id, shape if there are
-- several, and the end of its record: what follows the line.
-- `when` is empty for now, "+ms" for a delay, "@ms" for an instant. Sizes and times to live may be
-- empty.

local function read_shape()
    local queue, lane, priority, flags = arg(), arg(), number(), number()
    local when, ttl, size, rest = arg(), number(), arg(), arg()
    local due = now
    if when ~= '' then
        due = tonumber(string.sub(when, 2))
        if string.sub(when, 1, 1) == '+' then
            due = due + now
        end
    end
    due = math.max(due, now)
    local created = five_bytes(math.floor(now / 256)) .. string.char(now % 256)
    return {
        queue = queue, lane = lane, flags = flags, due = due, ttl = ttl, delayed = due > now,
        score = line_score(priority, due, has(flags, LIFO)), priority = priority, size = size,
        has_wishes = has(flags, WISHES),
        head = string.char(FIRST + flags) .. created .. (due > now and text(due) or '') .. '|'
            .. (ttl and text(now + ttl) or '') .. '|' .. size .. '|' .. rest .. '\n',
        tail = '|' .. text(priority) .. '|' .. lane, name = string.match(lane, '[^/]*$'),
        line = {}, count = 0,
    }
end

-- Of each job its id, its shape and the end of its record, and what came of it: a character, its
-- state, in capitals if it was created.
local ids, shape_of, tails, answers = {}, {}, {}, {}

-- The places in `ids` of the jobs that were created.
local created = {}

local function read_jobs(read_more)
    local shapes = {}
    for index = 1, number() do
        shapes[index] = read_shape()
    end
    local only = #shapes == 1 and shapes[1]
    local count = number()
    for at = 1, count do
        ids[at], shape_of[at], tails[at] = arg(), only or shapes[number()], arg()
        if shape_of[at].has_wishes then
            read_more(at)
        end
    end
    return count
end

-- Lists jobs by number, for whoever pages through them: in blocks, each job with a byte of its place
-- in the block, a byte of the length of its id, and the id.
local function write_down(first, list)
    local last = first + #list - 1
    for block = math.floor(first / BLOCK), math.floor(last / BLOCK) do
        local from, entries = math.max(first, block * BLOCK), {}
        for of_job = from, math.min(last, block * BLOCK + BLOCK - 1) do
            local id = list[of_job - first + 1]
            entries[#entries + 1] = string.char(of_job % BLOCK, #id) .. id
        end
        local key = yard .. ':block:' .. text(block)
        call('APPEND', key, table.concat(entries))
        call('HINCRBY', yard .. ':blocks', block, #entries)
        if from > block * BLOCK and last >= block * BLOCK + BLOCK - 1 then
            call('SET', key, call('GET', key)) -- it grows no more: the room for that may go
        end
    end
end

local function stand(shape)
    local queue = shape.queue
    call('HSETNX', yard .. ':queues', queue, '')
    if shape.delayed then
        each_piece('ZADD', yard .. ':delayed:' .. queue, shape.line)
    else
        each_piece('ZADD', yard .. ':lane:' .. queue .. ':' .. shape.lane, shape.line)
        call('SADD', yard .. ':lanes:' .. queue, shape.lane)
    end
    tally(queue, 'a', shape.count)
    woken[queue] = true
    shape.line, shape.count = {}, 0
end

-- Which of the jobs from one to another are not there yet. Tells the state of the others.
local function fresh_among(from, to)
    local wanted, fresh, seen = {}, {}, {}
    for at = from, to do
        wanted[#wanted + 1] = ids[at]
    end
    local there = many('HMGET', yard .. ':jobs', wanted)
    for at = from, to do
        local id = ids[at]
        local found = there[at - from + 1]
        if found then
            answers[at] = load(id, found).state
        elseif seen[id] then
            answers[at] = seen[id].delayed and 'd' or 'w'
        else
            seen[id] = shape_of[at]
            fresh[#fresh + 1] = at
            answers[at] = seen[id].delayed and 'D' or 'W'
        end
    end
    return fresh
end

-- Adds the jobs from one to another that are not there yet.
local function add_plain(from, to)
    local fresh = fresh_among(from, to)
    if #fresh == 0 then
        return
    end
    local first = call('HINCRBY', yard, 'number', #fresh) - #fresh + 1
    local list, records, shapes = {}, {}, {}
    local start
    for index, at in ipairs(fresh) do
        local shape, id = shape_of[at], ids[at]
        local of_job = first + index - 1
        if not start or of_job % 256 == 0 then
            start = string.sub(five_bytes(of_job), 1, 4)
        end
        local digits = start .. string.char(of_job % 256)
        local member = digits .. flagged(shape.flags, id)
        list[index], created[#created + 1] = id, at
        records[2 * index - 1], records[2 * index] = id, digits .. shape.head .. tails[at]
        if shape.count == 0 then
            shapes[#shapes + 1] = shape
        end
        shape.count = shape.count + 1
        local line, place = shape.line, 2 * shape.count - 1
        if shape.delayed then
            line[place], line[place + 1] = text(shape.due), member .. shape.tail
        else
            line[place], line[place + 1] = shape.score, line_member(member)
        end
        if shape.ttl then
            call('ZADD', yard .. ':expiry', text(now + shape.ttl), id)
        end
    end
    each_piece('HSET', yard .. ':jobs', records)
    for _, shape in ipairs(shapes) do
        stand(shape)
    end
    write_down(first, list)
    if logging then
        for _, at in ipairs(fresh) do
            tell('added', shape_of[at].queue, ids[at], shape_of[at].name)
        end
    end
end
