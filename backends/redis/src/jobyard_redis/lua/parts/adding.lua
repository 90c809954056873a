-- Adding jobs: what add and fire share.
--
-- Arguments: the number of shapes, each of queue, lane, priority, flags, when, time to live and the
-- rest of the record's fields; the number of jobs, each of id, shape, and the end of its record,
-- which for a job with wishes has them before options and payload, and then "mode|ttl" of its dedup
-- key; the number of units if any job has parents, else 0, and the number of jobs of each.
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
        score = line_score(priority, due, has(flags, LIFO)), priority = priority,
        has_wishes = has(flags, WISHES),
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
    shape.line, shape.count = {}, 0
end

-- What is to be added: of each job its id, its shape, the end of its record and, if it has wishes,
-- its dedup key's mode; what came of each: a character, its state, in capitals if it was created, 'u' for one that
-- met its key held, 'n' for one of a unit whose parents there are not; of each that met its key
-- held, the holder's state, '-' for one that is gone, and id; and which were created.
local ids, shape_of, tails, key_modes = {}, {}, {}, {}
local answers, met, created = {}, {}, {}

-- Adds the jobs from one to another, none of which has wishes, that are not there yet: what most
-- are, added many at a time.
local function add_plain(from, to)
    local wanted, fresh, seen, shapes = {}, {}, {}, {}
    for at = from, to do
        wanted[#wanted + 1] = ids[at]
    end
    local there = many('HMGET', yard .. ':jobs', wanted)
    for at = from, to do
        local id, shape = ids[at], shape_of[at]
        local found = there[at - from + 1]
        if found then
            answers[at] = load(id, found).state
        elseif seen[id] then
            answers[at] = seen[id].delayed and 'd' or 'w'
        else
            seen[id] = shape
            fresh[#fresh + 1] = at
            answers[at] = shape.delayed and 'D' or 'W'
            if shape.count == 0 then
                shapes[#shapes + 1] = shape
            end
            shape.count = shape.count + 1
        end
    end
    if #fresh == 0 then
        return
    end
    local first = call('HINCRBY', yard, 'number', #fresh) - #fresh + 1
    local members, records = {}, {}
    for index, at in ipairs(fresh) do
        local shape, id = shape_of[at], ids[at]
        local member = member_of(first + index - 1, shape.flags, id)
        members[index], created[#created + 1] = member, at
        records[2 * index - 1] = id
        records[2 * index] = string.sub(member, 1, 11) .. shape.head .. tails[at]
        local line = shape.line
        line[#line + 1] = shape.delayed and text(shape.due) or shape.score
        line[#line + 1] = shape.delayed and member .. shape.tail or line_member(member)
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
        for _, at in ipairs(fresh) do
            tell('added', shape_of[at].queue, ids[at], shape_of[at].name)
        end
    end
end

-- -- jobs that may be held back -----------------------------------------------------------------

-- Lets the holders of keys stand for the parents of the same unit that were not added for them.
local function with_holders(wishes, others)
    local before, parents = string.match(wishes, '^(.*|)([^|]*)$')
    return before .. string.gsub(parents, '(%a)([^,]+)', function(policy, id)
        return policy .. (others[id] or id)
    end)
end

-- Adds a job with wishes. `others` notes whose jobs stand for those of its unit.
local function add_one(at, others)
    local id, shape = ids[at], shape_of[at]
    local found = load(id)
    if found then
        return found.state
    end
    local size, wishes, body = string.match(tails[at], '^(%d+)\n([^\n]*)\n(.*)$')
    local new = {
        queue = shape.queue, priority = shape.priority, due = shape.due,
        options = string.sub(body, 1, size), payload = string.sub(body, size + 1),
    }
    read_wishes(new, wishes)
    local mode, ttl = string.match(key_modes[at], '^(%a*)|(%d*)$')
    ttl = tonumber(ttl)
    if new.key then
        local holder, state = keys.meet(new, mode, ttl)
        if holder then
            met[#met + 1] = state .. holder
            others[id] = holder
            return 'u'
        end
    end
    local member = member_of(call('HINCRBY', yard, 'number', 1), shape.flags, id)
    local record = string.sub(member, 1, 11) .. shape.head .. size .. '\n'
        .. with_holders(wishes, others) .. '\n' .. body
    call('HSET', yard .. ':jobs', id, record)
    call('HSETNX', yard .. ':queues', shape.queue, '')
    write_down(number_of(member), { member })
    created[#created + 1] = at
    tally(shape.queue, 'a', 1)
    if logging then
        tell('added', shape.queue, id, shape.name)
    end
    local card = read_record(id, record)
    newcomers[id] = true
    if card.key then
        keys.hold(card, ttl)
    end
    if shape.ttl then
        call('ZADD', yard .. ':expiry', text(now + shape.ttl), id)
    end
    if card.gated then
        gates.enrol(card)
        gates.resize(card)
    end
    if card.parents then
        kin.enter(card, shape.due)
    else
        enter(card, shape.due)
    end
    return string.upper(card.state)
end

-- Whether every parent of a unit's jobs is stored, or comes before its child in the unit.
local function has_parents(from, to)
    local known = {}
    for at = from, to do
        if shape_of[at].has_wishes then
            local parents = string.match(tails[at], '^%d+\n[^\n]*|([^|\n]*)\n')
            for id in string.gmatch(parents, '%a([^,]+)') do
                if not known[id] and call('HEXISTS', yard .. ':jobs', id) == 0 then
                    return false
                end
                known[id] = true
            end
        end
        known[ids[at]] = true
    end
    return true
end

local function add_unit(from, to)
    local others, at = {}, from
    while at <= to do
        if shape_of[at].has_wishes then
            answers[at] = add_one(at, others)
            at = at + 1
        else
            local last = at
            while last < to and not shape_of[last + 1].has_wishes do
                last = last + 1
            end
            add_plain(at, last)
            at = last + 1
        end
    end
end

-- Adds the jobs that are not there yet, and tells what came of each.
local function add_jobs()
    local shapes = {}
    for index = 1, number() do
        shapes[index] = read_shape()
    end
    local count = number()
    for at = 1, count do
        ids[at], shape_of[at], tails[at] = arg(), shapes[number()], arg()
        if shape_of[at].has_wishes then
            key_modes[at] = arg()
        end
    end
    local units = number()
    if units == 0 then
        add_unit(1, count)
    end
    local from = 1
    for _ = 1, units do
        local to = from + number() - 1
        if has_parents(from, to) then
            add_unit(from, to)
        else
            for at = from, to do
                answers[at] = 'n'
            end
        end
        from = to + 1
    end
    local said = table.concat(answers)
    return #met > 0 and said .. '\n' .. table.concat(met, '\n') or said
end
