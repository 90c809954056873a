-- Gates: what holds a job back from waiting. Its group gives it a place, its rate a slot.
--
-- :gates                 id -> how the job stands, of unfinished jobs that anything may hold back
-- :blocked:<queue>       the ids of the jobs that a gate holds back
-- :groups:<queue>        key -> limit|places taken|unfinished jobs
-- :parked:<queue>:<key>  the blocked jobs of a group, in claim order
-- :rates:<queue>         key -> count|period|unfinished jobs|slots held|slots that came free
-- :slots:<queue>:<key>   the slots that no job holds, by when they are free
-- :paced:<queue>:<key>   the blocked jobs of a rate, in claim order
-- :idle                  queue|key of the rates without jobs, by when their last slot is free
--
-- A job takes its place when it would first wait, and keeps it to its end. It holds a slot from
-- before it waits until it starts; a period later the slot is free again. So the starts of a slot
-- lie a period apart, and any period has at most as many starts as there are slots. `gates.horizon`
-- is the instant by which a slot has to be good, when a claim looks ahead (CLAIM-9).
--
-- table: gates

-- The groups and rates that this step has looked at, by queue|key; written down at its end.
local groups, rates = {}, {}

local function group_of(job)
    local name = job.queue .. '|' .. job.group
    local found = groups[name]
    if not found then
        local row = call('HGET', yard .. ':groups:' .. job.queue, job.group) or ''
        local limit, taken, members = string.match(row, '^(%d+)|(%d+)|(%d+)$')
        found = {
            name = name, queue = job.queue, key = job.group, row = row,
            limit = tonumber(limit) or job.limit, taken = tonumber(taken) or 0,
            members = tonumber(members) or 0,
            line = yard .. ':parked:' .. job.queue .. ':' .. job.group,
        }
        groups[name] = found
    end
    return found
end

local function rate_of(job)
    local name = job.queue .. '|' .. job.rate
    local found = rates[name]
    if not found then
        local row = call('HGET', yard .. ':rates:' .. job.queue, job.rate) or ''
        local count, per, members, held, freed =
            string.match(row, '^(%d+)|(%d+)|(%d+)|(%d+)|(%d+)$')
        found = {
            name = name, queue = job.queue, key = job.rate, row = row,
            count = tonumber(count) or job.count, per = tonumber(per) or job.per,
            members = tonumber(members) or 0, held = tonumber(held) or 0,
            freed = tonumber(freed) or 0,
            line = yard .. ':paced:' .. job.queue .. ':' .. job.rate,
            slots = yard .. ':slots:' .. job.queue .. ':' .. job.rate,
        }
        rates[name] = found
    end
    return found
end

local function write_rows(kind, them, ...)
    for _, each in pairs(them) do
        local fields = {}
        for index, field in ipairs({ ... }) do
            fields[index] = text(each[field])
        end
        local row = table.concat(fields, '|')
        if row ~= each.row then
            call('HSET', yard .. kind .. each.queue, each.key, row)
        end
    end
end

at_close[#at_close + 1] = function()
    write_rows(':groups:', groups, 'limit', 'taken', 'members')
    write_rows(':rates:', rates, 'count', 'per', 'members', 'held', 'freed')
end

-- Writes down how a job stands that may be held back, and its due if that has moved.
function gates.note(job)
    local line
    if job.gate or job.enrolled then
        line = (job.placed and '1' or '0') .. '|' .. text(job.slot) .. '|' .. text(job.waits) .. '|'
            .. (job.gate or '')
    end
    if line ~= job.gate_line then
        if line then
            call('HSET', yard .. ':gates', job.id, line)
        else
            call('HDEL', yard .. ':gates', job.id)
        end
        job.gate_line = line
    end
    if job.due ~= job.written_due then
        write_facts(job)
    end
end

-- -- blocked jobs -------------------------------------------------------------------------------

-- The line that a blocked job stands in; who waits for parents stands in none.
local function line_before(job)
    return job.gate == 'g' and group_of(job).line or job.gate == 'r' and rate_of(job).line
end

function gates.block(job, gate, due)
    job.state, job.gate, job.due = 'b', gate, due
    call('SADD', yard .. ':blocked:' .. job.queue, job.id)
    local line = line_before(job)
    if line then
        local score = line_score(job.priority, due, has(job.flags, LIFO))
        call('ZADD', line, score, line_member(job.member))
    end
    gates.note(job)
end

function gates.leave(job)
    newcomers[job.id] = true
    call('SREM', yard .. ':blocked:' .. job.queue, job.id)
    local line = line_before(job)
    if line then
        call('ZREM', line, line_member(job.member))
    end
    job.gate = nil
end

local function head_of(line)
    local head = call('ZRANGE', line, 0, 0)[1]
    return head and load(id_of(head))
end

-- Lets blocked jobs of a group have what places are free; they are due now (GROUP-3).
local function fill(group)
    while group.taken < group.limit do
        local job = head_of(group.line)
        if not job then
            break
        end
        leave(job)
        admit(job, now)
    end
end

-- -- slots --------------------------------------------------------------------------------------

-- How many slots nobody holds that are not good yet; those that are are as good as none.
local function coming(rate)
    if not rate.coming then
        call('ZREMRANGEBYSCORE', rate.slots, '-inf', text(now))
        rate.coming = call('ZCARD', rate.slots)
    end
    return rate.coming
end

local function first_coming(rate)
    rate.coming = rate.coming - 1
    return tonumber(call('ZPOPMIN', rate.slots)[2])
end

-- Takes the slot that is free first; tells from when, or nothing if all are held.
local function take(rate)
    local is_spare = rate.held + coming(rate) < rate.count
    if not is_spare and rate.held >= rate.count then
        return nil
    end
    rate.held = rate.held + 1
    return is_spare and now or first_coming(rate)
end

-- Lets a slot that was held be free from an instant on.
local function give(rate, at)
    rate.held = rate.held - 1
    if rate.held + coming(rate) < rate.count and at > now then
        rate.freed = rate.freed + 1
        rate.coming = rate.coming + 1
        call('ZADD', rate.slots, text(at), text(rate.freed))
    end
end

-- Lets blocked jobs of a rate have what slots may be taken.
local function serve(rate)
    local job = head_of(rate.line)
    while job do
        local at = take(rate)
        if not at then
            break
        end
        leave(job)
        job.slot = at
        enter(job, math.max(at, job.due))
        job = head_of(rate.line)
    end
end

-- -- what the moves ask -------------------------------------------------------------------------

-- Gives a job its place and its slot, and puts it elsewhere if it has to wait for one.
function gates.hold_back(job, due)
    if job.group and not job.placed then
        local group = group_of(job)
        if group.taken >= group.limit then
            gates.block(job, 'g', due)
            return true
        end
        group.taken = group.taken + 1
        job.placed = true
    end
    if job.rate then
        job.slot = job.slot or take(rate_of(job))
        if not job.slot then
            gates.block(job, 'r', due)
            return true
        end
        if job.slot > (gates.horizon or now) then
            delay(job, math.max(job.slot, due))
            return true
        end
    end
    return false
end

-- Lets the group and the rate of an unfinished job know of it.
function gates.enrol(job)
    job.enrolled = (job.group or job.rate) ~= nil
    if job.group then
        local group = group_of(job)
        group.members = group.members + 1
    end
    if job.rate then
        local rate = rate_of(job)
        if rate.members == 0 then
            call('ZREM', yard .. ':idle', rate.name)
        end
        rate.members = rate.members + 1
    end
end

-- Lets the limits of a job that was just added hold for its group and its rate.
function gates.resize(job)
    if job.group then
        local group = group_of(job)
        if group.limit ~= job.limit then
            group.limit = job.limit
            fill(group)
        end
    end
    if job.rate then
        local rate = rate_of(job)
        if rate.count ~= job.count or rate.per ~= job.per then
            rate.count, rate.per = job.count, job.per
            while coming(rate) > 0 and rate.held + rate.coming > rate.count do
                first_coming(rate)
            end
            serve(rate)
        end
    end
end

-- Notes that a job of a rate has been claimed: its slot is free again a period later.
function gates.start(job)
    local rate = rate_of(job)
    job.slot = nil
    gates.note(job)
    give(rate, now + rate.per)
    serve(rate)
end

local function strike_group(job)
    local group = group_of(job)
    group.members = group.members - 1
    if job.placed then
        job.placed = false
        group.taken = group.taken - 1
        fill(group)
    end
    if group.members == 0 then
        call('HDEL', yard .. ':groups:' .. group.queue, group.key)
        groups[group.name] = nil
        if logging then
            local key = string.gsub(string.sub(group.key, 2), '%%(%x%x)', function(digits)
                return string.char(tonumber(digits, 16))
            end)
            tell('group_deleted', group.queue, nil, nil, nil, nil, nil, key)
        end
    end
end

local function forget_rate(rate)
    call('HDEL', yard .. ':rates:' .. rate.queue, rate.key)
    call('DEL', yard .. ':slots:' .. rate.queue .. ':' .. rate.key)
    rates[rate.queue .. '|' .. rate.key] = nil
end

local function strike_rate(job)
    local rate = rate_of(job)
    rate.members = rate.members - 1
    if job.slot then
        give(rate, job.slot)
        job.slot = nil
        serve(rate)
    end
    if rate.members == 0 then
        if coming(rate) == 0 then
            forget_rate(rate)
        else
            local last = call('ZREVRANGE', rate.slots, 0, 0, 'WITHSCORES')[2]
            call('ZADD', yard .. ':idle', last, rate.name)
        end
    end
end

-- Lets go of the place and the slot of a job that has ended, and lets the next have them.
function gates.strike(job)
    if job.gate_line then
        call('HDEL', yard .. ':gates', job.id)
        job.gate_line = nil
    end
    if job.enrolled then
        job.enrolled = false
        if job.group then
            strike_group(job)
        end
        if job.rate then
            strike_rate(job)
        end
    end
end

-- -- tidying ------------------------------------------------------------------------------------

-- Forgets rates of which nothing is left to know.
function gates.tidy(most)
    local spent = call('ZRANGEBYSCORE', yard .. ':idle', '-inf', text(now), 'LIMIT', 0, most)
    for _, name in ipairs(spent) do
        local queue, key = string.match(name, '^([^|]*)|(.*)$')
        forget_rate({ queue = queue, key = key })
        call('ZREM', yard .. ':idle', name)
    end
end

-- Forgets the rates of a queue that has no jobs; tells whether none is left.
function gates.forget_rates(queue, most)
    local page = call('HSCAN', yard .. ':rates:' .. queue, '0', 'COUNT', most)
    for index = 1, #page[2], 2 do
        forget_rate({ queue = queue, key = page[2][index] })
        call('ZREM', yard .. ':idle', queue .. '|' .. page[2][index])
    end
    return call('EXISTS', yard .. ':rates:' .. queue) == 0
end

-- -- looking ------------------------------------------------------------------------------------

-- Whether a claim that looks ahead to an instant would let a delayed job on. `rooms` has what the
-- jobs before it have left, and is changed for those after it.
function gates.would_admit(job, rooms, instant)
    if job.group and not job.placed then
        local group = group_of(job)
        local room = rooms[group] or group.limit - group.taken
        rooms[group] = room - 1
        if room <= 0 then
            return false
        end
    end
    if job.rate and not job.slot then
        local rate = rate_of(job)
        local room = rooms[rate] or rate.count - rate.held
            - call('ZCOUNT', rate.slots, '(' .. text(instant), '+inf')
        rooms[rate] = room - 1
        if room <= 0 then
            return false
        end
    end
    return true
end
