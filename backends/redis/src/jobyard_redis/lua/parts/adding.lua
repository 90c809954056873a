-- Adding jobs of any kind: what add and fire share.
--
-- Arguments: as of parts/plain.lua; the end of the record of a job with wishes has them before
-- options and payload, and is followed by "mode|ttl" of its dedup key; then the number of units if
-- any job has parents, else 0, and the number of jobs of each.
--
-- What came of a job may also be 'u' for one that met its key held, 'n' for one of a unit whose
-- parents there are not.

-- The modes of the dedup keys of jobs with wishes; and of each that met its key held, the holder's
-- state, '-' for one that is gone, and id.
local key_modes, met = {}, {}

-- Lets the holders of keys stand for the parents of the same unit that were not added for them.
local function with_holders(wishes, others)
    local before, parents = string.match(wishes, '^(.*|)([^|]*)$')
    return before .. string.gsub(parents, '(%a)([^,]+)', function(policy, id)
        local holder = others[packed(id)]
        return policy .. (holder and spelled(holder) or id)
    end)
end

-- Adds a job with wishes. `others` notes whose jobs stand for those of its unit.
local function add_one(at, others)
    local id, shape = ids[at], shape_of[at]
    local found = load(id)
    if found then
        return found.state
    end
    local wishes, body = string.match(tails[at], '^([^\n]*)\n(.*)$')
    local size = tonumber(shape.size) or 0
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
            met[#met + 1] = state .. spelled(holder)
            others[id] = holder
            return 'u'
        end
    end
    local of_job = call('HINCRBY', yard, 'number', 1)
    local record = five_bytes(of_job) .. shape.head .. with_holders(wishes, others) .. '\n' .. body
    call('HSET', yard .. ':jobs', id, record)
    call('HSETNX', yard .. ':queues', shape.queue, '')
    write_down(of_job, { id })
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
            local parents = string.match(tails[at], '^[^\n]*|([^|\n]*)\n')
            for spelling in string.gmatch(parents, '%a([^,]+)') do
                local id = packed(spelling)
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
    local count = read_jobs(function(at)
        key_modes[at] = arg()
    end)
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
