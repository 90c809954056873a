-- A job: how it is written, and where it is found.
--
-- :jobs   id -> the record of its add: number, flags and instant of the add in 12 bytes, a line of
--               fields, then its options and payload
-- :facts  id -> what has become of it: a line of fields, then its error and result; only of jobs
--               that ran before, were edited or have finished
--
-- The line has due (empty if the job was due at its add), expiry, size of the options, queue,
-- channel, name, attempts and most crashes; then, unless all of them are as in most jobs, priority,
-- 1 for a dead letter, rules for the record, and time to live.
--
-- The record of a job that may be held back has a line more, of what holds it: its group with the
-- limit, its rate with count and period, its dedup key, its parents ("f" before the id of one whose
-- failure fails the job, "i" before others). Keys are escaped: they have no '|', no line break.

local LINE = '^(%d*)|(%d*)|(%d*)|([^|]*)|([^|]*)|([^|]*)|(%d+)|(%d+)(.*)$'
local REST = '^|(-?%d+)|(%d)|([^|]*)|([^|]*)|(%d*)$'
local HEAD = 12 -- the bytes before the line

local function optional(field)
    if field == '' or field == '-1' then
        return nil
    end
    return tonumber(field)
end

local function present(field)
    return field ~= '' and field or nil
end

local HELD_BACK = '^([^|]*)|(%d*)|([^|]*)|(%d*)|(%d*)|([^|]*)|([^|]*)$'

local function read_wishes(job, wishes)
    local group, limit, rate, count, per, key, parents = string.match(wishes, HELD_BACK)
    job.group, job.limit = present(group), tonumber(limit)
    job.rate, job.count, job.per = present(rate), tonumber(count), tonumber(per)
    job.key, job.parents = present(key), present(parents)
    job.gated = (job.group or job.rate or job.parents) ~= nil
end

local function instant_of(record)
    local high = 0
    for _, byte in ipairs({ string.byte(record, 7, HEAD) }) do
        high = high * 256 + byte
    end
    return high
end

local function read_record(id, record)
    local break_at = string.find(record, '\n', HEAD + 1, true)
    local due, expires, _, queue, channel, name, attempts, crashes, rest =
        string.match(string.sub(record, HEAD + 1, break_at - 1), LINE)
    local priority, dead, completed, failed, ttl = 0, '0', '-', '-', nil
    if rest ~= '' then
        priority, dead, completed, failed, ttl = string.match(rest, REST)
    end
    local flags, created = string.byte(record, 6) - FIRST, instant_of(record)
    local job = {
        id = id, record = record, member = string.sub(record, 1, 5) .. flagged(flags, id), flags = flags,
        due = tonumber(due) or created, created = created, expires = optional(expires),
        priority = tonumber(priority), queue = queue, name = name, channel = channel,
        lane = channel .. '/' .. name, attempts = tonumber(attempts),
        max_crashes = tonumber(crashes), dead_letter = dead == '1', keep_completed = completed,
        keep_failed = failed, ttl = tonumber(ttl), failures = 0, crashes = 0, fence = 0,
    }
    job.written_due = job.due
    if has(flags, WISHES) then
        local wishes_end = string.find(record, '\n', break_at + 1, true)
        read_wishes(job, string.sub(record, break_at + 1, wishes_end - 1))
    end
    return job
end

-- Writes another payload, and other options unless they are to stay.
local function write_body(job, payload, options)
    local start = string.find(job.record, '\n', HEAD + 1, true) + 1
    local before, size, after =
        string.match(string.sub(job.record, HEAD + 1, start - 1), '^(%d*|%d*|)(%d*)(|.*)$')
    local wishes = ''
    if has(job.flags, WISHES) then
        local wishes_end = string.find(job.record, '\n', start, true)
        wishes = string.sub(job.record, start, wishes_end)
        start = wishes_end + 1
    end
    options = options or string.sub(job.record, start, start + (tonumber(size) or 0) - 1)
    job.record = string.sub(job.record, 1, HEAD) .. before .. (options ~= '' and #options or '')
        .. after .. wishes .. options .. payload
    call('HSET', yard .. ':jobs', job.id, job.record)
end

local FACTS = '^(%a)|(%d*)|(-?%d*)|(%d+)|(%d+)|(%d+)|(%d*)|(%d*)|(%d*)'
    .. '|([^|]*)|([^|]*)|([^|]*)|(-?%d+)|(-?%d+)$'

local function read_facts(job, facts)
    local break_at = string.find(facts, '\n', 1, true)
    local state, due, priority, failures, crashes, fence, started, finished, expires, settled,
        reason, worker, error_size, result_size =
        string.match(string.sub(facts, 1, break_at - 1), FACTS)
    job.facts = facts
    job.end_state = state ~= 'p' and state or nil
    job.due = tonumber(due) or job.due
    job.written_due = job.due
    job.priority = tonumber(priority) or job.priority
    job.failures, job.crashes, job.fence = tonumber(failures), tonumber(crashes), tonumber(fence)
    job.started, job.finished = tonumber(started), tonumber(finished)
    job.expires = tonumber(expires) or job.expires
    job.settled = settled ~= '' and settled or nil
    job.reason, job.worker = reason, worker
    error_size, result_size = tonumber(error_size), tonumber(result_size)
    local after = break_at + 1
    if error_size >= 0 then
        job.error = string.sub(facts, after, after + error_size - 1)
        after = after + error_size
    end
    if result_size >= 0 then
        job.result = string.sub(facts, after, after + result_size - 1)
    end
end

local function sized(value)
    return value and #value or -1
end

-- Writes down what has become of a job; 'p' stands for any state that its place tells.
local function write_facts(job)
    local line = table.concat({
        job.end_state or 'p', text(job.due), text(job.priority), text(job.failures),
        text(job.crashes), text(job.fence), text(job.started), text(job.finished),
        text(job.expires), job.settled or '', job.reason or '', job.worker or '',
        sized(job.error), sized(job.result),
    }, '|')
    job.facts = line .. '\n' .. (job.error or '') .. (job.result or '')
    job.written_due = job.due
    call('HSET', yard .. ':facts', job.id, job.facts)
end

-- The leases: :leases has fence -> end|start|lease id|worker, :fences has lease id -> fence.
local leases = {}
local function lease_of(fence)
    local found = leases[fence]
    if not found then
        local line = fence and call('HGET', yard .. ':leases', fence)
        if not line then
            return nil
        end
        local ends, started, id, worker = string.match(line, '^(%d+)|(%d+)|([^|]*)|(.*)$')
        found = {
            fence = fence, ends = tonumber(ends), started = tonumber(started), id = id,
            worker = worker,
        }
        leases[fence] = found
    end
    return found
end

local function lease_named(id)
    return lease_of(call('HGET', yard .. ':fences', id))
end

-- A running job is in :running:<queue> with its fence, and with the end of its lease if that is
-- not the one of its claim. Returns that end, or nothing if another lease holds the job.
local function held_until(held, lease)
    if not held or not lease then
        return nil
    end
    if held == lease.fence then
        return lease.ends
    end
    local fence, ends = string.match(held, '^(%d+):(%d+)$')
    return fence == lease.fence and tonumber(ends) or nil
end

local function delayed_member(job)
    return job.member .. '|' .. text(job.priority) .. '|' .. job.lane
end

-- What holds back an unfinished job: 1 if it has a place of its group, from when its slot of the
-- rate is good, for how many parents it waits, and the gate that it is blocked by: 'g', 'r' or 'p'.
local GATE = '^(%d)|(%d*)|(%d*)|(%a?)$'

local function read_gate(job)
    local line = call('HGET', yard .. ':gates', job.id)
    if line then
        local placed, slot, waits, gate = string.match(line, GATE)
        job.gate_line, job.placed, job.slot = line, placed == '1', tonumber(slot)
        job.waits, job.gate = tonumber(waits), present(gate)
        job.enrolled = (job.group or job.rate) ~= nil
    end
end

local function place(job)
    if job.end_state then
        return job.end_state
    end
    if job.gated then
        read_gate(job)
        if job.gate then
            return 'b'
        end
    end
    local held = call('HGET', yard .. ':running:' .. job.queue, job.id)
    if held then
        local lease = lease_of(string.match(held, '^%d+'))
        job.lease, job.held_until = lease, held_until(held, lease)
        job.fence, job.started, job.worker = tonumber(lease.fence), lease.started, lease.worker
        return 'a'
    end
    if call('ZSCORE', yard .. ':delayed:' .. job.queue, delayed_member(job)) then
        return 'd'
    end
    return 'w'
end

local function load(id, record)
    record = record or call('HGET', yard .. ':jobs', id)
    if not record then
        return nil
    end
    local job = read_record(id, record)
    local facts = call('HGET', yard .. ':facts', id)
    if facts then
        read_facts(job, facts)
    end
    job.state = place(job)
    return job
end
