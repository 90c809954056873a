-- How a lease stands that holds a job.

local function standing(id)
    return call('SISMEMBER', yard .. ':cancelling', id) == 1 and 'c' or 'h'
end

-- What a repeated claim still holds, by the list :taken:<fence>: a line of the queue, or empty for
-- several, then each id, after its queue and '|' if there are several, behind a byte of its length:
-- queues and ids in the order of the claim, ends of leases.
local function taken_by(lease)
    local found = {}
    local list = call('GET', yard .. ':taken:' .. lease.fence)
    local queue = string.match(list, '^[^\n]*')
    local at = #queue + 2
    while at <= #list do
        local size = string.byte(list, at)
        local of_job, id = queue, string.sub(list, at + 1, at + size)
        if queue == '' then
            of_job, id = string.match(id, '^([^|]*)|(.*)$')
        end
        at = at + 1 + size
        local held = call('HGET', yard .. ':running:' .. of_job, id)
        local ends = held_until(held, lease)
        if ends then
            found[#found + 1] = { queue = of_job, id = id, ends = ends }
        end
    end
    return found
end
