-- How a lease stands that holds a job.

local function standing(id)
    return call('SISMEMBER', yard .. ':cancelling', id) == 1 and 'c' or 'h'
end

-- What a repeated claim still holds: queues and ids in the order of the claim, ends of leases.
local function taken_by(lease)
    local found = {}
    local list = call('GET', yard .. ':taken:' .. lease.fence)
    local queue, rest = string.match(list, '^([^\n]*)\n(.*)$')
    for line in string.gmatch(rest, '[^\n]+') do
        local of_job, id = queue, line
        if queue == '' then
            of_job, id = string.match(line, '^([^|]*)|(.*)$')
        end
        local held = call('HGET', yard .. ':running:' .. of_job, id)
        local ends = held_until(held, lease)
        if ends then
            found[#found + 1] = { queue = of_job, id = id, ends = ends }
        end
    end
    return found
end
