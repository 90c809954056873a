-- Dedup keys: which job holds one, and what an add with a key that is held does.
--
-- :dedup:<queue>  key -> the holder's id|its number|until when it holds the key, empty for its life
-- :held_until     queue|key of the keys that are held for a time, by its end
--
-- A key is looked at by adds alone: that its holder has ended is found out by the next one.
--
-- table: keys

local HOLDING = '^(.*)|(%d+)|(%d*)$'

local function holding_of(queue, key)
    local held = call('HGET', yard .. ':dedup:' .. queue, key)
    if not held then
        return nil
    end
    local id, holder, until_ = string.match(held, HOLDING)
    return { id = id, number = tonumber(holder), until_ = tonumber(until_) }
end

local function hold(queue, key, id, holder, until_)
    local entry = queue .. '|' .. key
    call('HSET', yard .. ':dedup:' .. queue, key, id .. '|' .. text(holder) .. '|' .. text(until_))
    if until_ then
        call('ZADD', yard .. ':held_until', text(until_), entry)
    else
        call('ZREM', yard .. ':held_until', entry)
    end
end

-- Gives a pending job what another one would have brought, due anew (DEDUP-4).
local function replace(holder, new)
    local gate = holder.gate
    leave(holder)
    newcomers[holder.id] = true
    write_body(holder, new.payload, new.options)
    holder.priority = new.priority
    if gate == 'p' then
        gates.block(holder, 'p', new.due)
    else
        enter(holder, new.due)
    end
    write_facts(holder)
end

-- Answers for a job whose key is held: the holder's id and state, '-' if its record is gone.
-- Nothing if the key is free, or is to be taken over.
function keys.meet(new, mode, ttl)
    local held = holding_of(new.queue, new.key)
    if not held then
        return nil
    end
    local holder = load(held.id)
    if holder and number_of(holder.member) ~= held.number then
        holder = nil
    end
    local is_held = holder and not holder.end_state
    if held.until_ then
        is_held = held.until_ > now
    end
    if not is_held then
        return nil
    end
    if mode == 'replace' then
        if not holder or holder.end_state or holder.state == 'a' then
            return nil
        end
        replace(holder, new)
    end
    if mode ~= 'ignore' and ttl then
        hold(new.queue, new.key, held.id, held.number, now + ttl)
    end
    if logging then
        tell('deduplicated', new.queue, held.id, holder and holder.name)
    end
    return held.id, holder and holder.state or '-'
end

-- Lets a new job hold its key.
function keys.hold(job, ttl)
    hold(job.queue, job.key, job.id, number_of(job.member), ttl and now + ttl)
end

-- Forgets the key of a job whose record goes, unless it is held for a time whatever becomes of it.
function keys.let_go(member)
    local id = id_of(member)
    local job = read_record(id, call('HGET', yard .. ':jobs', id))
    local held = job.key and holding_of(job.queue, job.key)
    if held and held.id == id and held.number == number_of(member) and not held.until_ then
        call('HDEL', yard .. ':dedup:' .. job.queue, job.key)
    end
end

-- Forgets keys whose time is over.
function keys.tidy(most)
    local key = yard .. ':held_until'
    for _, entry in ipairs(call('ZRANGEBYSCORE', key, '-inf', text(now), 'LIMIT', 0, most)) do
        local queue, name = string.match(entry, '^([^|]*)|(.*)$')
        call('HDEL', yard .. ':dedup:' .. queue, name)
        call('ZREM', key, entry)
    end
end
