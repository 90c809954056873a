-- Adding jobs: what add and fire share.
--
-- Arguments: the number of shapes, each of queue, lane, priority, flags, when, time to live and the
-- rest of the record's fields; the number of jobs, each of id, shape, and the end of its record.
-- `when` is empty for now, "+ms" for a delay, "@ms" for an instant. A time to live may be empty.

local function read_shape()
    local queue, lane, priority, flags = arg(), arg(), number(), number()
    local when, ttl, rest = arg(), number(), arg()
    local due = now
    if when ~= '' then
        due = tonumber(string.sub(when, 2))
        if string.sub(when, 1, 1) == '+' then
            due = due + now
        end
    end
    due = math.max(due, now)
    return {
        queue = queue, lane = lane, flags = flags, due = due, ttl = ttl, delayed = due > now,
        score = line_score(priority, due, has(flags, LIFO)),
        head = '|' .. text(due) .. '|' .. text(now) .. '|' .. (ttl and text(now + ttl) or '')
            .. '|' .. text(priority) .. '|' .. rest,
        tail = '|' .. text(priority) .. '|' .. lane, name = string.match(lane, '[^/]*$'),
        line = {}, count = 0,
    }
end

local function write_down(first, members)
    local block, entries = math.floor(first / BLOCK), {}
    local function flush()
        if #entries > 0 then
            call('APPEND', yard .. ':block:' .. text(block), table.concat(entries))
            call('HINCRBY', yard .. ':blocks', block, #entries)
            entries = {}
        end
    end
    for index, member in ipairs(members) do
        local of_job = math.floor((first + index - 1) / BLOCK)
        if of_job ~= block then
            flush()
            block = of_job
        end
        entries[#entries + 1] = member .. '\n'
    end
    flush()
end

local function stand(shape)
    if shape.count == 0 then
        return
    end
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
end

-- Adds the jobs that are not there yet. The answer has a character for each job: the state, with
-- a 'W' or 'D' for one that was created; and the ids that were.
local function add_jobs()
    local shapes, ids, mine, ends = {}, {}, {}, {}
    for index = 1, number() do
        shapes[index] = read_shape()
    end
    local count = number()
    for index = 1, count do
        ids[index], mine[index], ends[index] = arg(), shapes[number()], arg()
    end
    local answers, fresh, seen, there = {}, {}, {}, many('HMGET', yard .. ':jobs', ids)
    for index = 1, count do
        local id = ids[index]
        if there[index] then
            answers[index] = load(id, there[index]).state
        elseif seen[id] then
            answers[index] = seen[id].delayed and 'd' or 'w'
        else
            seen[id] = mine[index]
            fresh[#fresh + 1] = index
            answers[index] = mine[index].delayed and 'D' or 'W'
        end
    end
    if #fresh == 0 then
        return answers, {}
    end
    local first = call('HINCRBY', yard, 'number', #fresh) - #fresh + 1
    local members, records, created = {}, {}, {}
    for index, at in ipairs(fresh) do
        local shape, id = mine[at], ids[at]
        local member = member_of(first + index - 1, shape.flags, id)
        members[index], created[index] = member, { id, shape }
        records[2 * index - 1] = id
        records[2 * index] = string.sub(member, 1, 11) .. shape.head .. ends[at]
        local line = shape.line
        line[#line + 1] = shape.delayed and text(shape.due) or shape.score
        line[#line + 1] = shape.delayed and member .. shape.tail or line_member(member)
        shape.count = shape.count + 1
        if shape.ttl then
            call('ZADD', yard .. ':expiry', text(now + shape.ttl), id)
        end
    end
    each_piece('HSET', yard .. ':jobs', records)
    for _, shape in ipairs(shapes) do
        stand(shape)
    end
    write_down(first, members)
    if logging then
        for _, each in ipairs(created) do
            tell('added', each[2].queue, each[1], each[2].name)
        end
    end
    return answers, created
end
