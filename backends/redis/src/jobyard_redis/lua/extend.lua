-- extend: makes leases last until now + ttl, or longer if they did.
--
-- flags: allow-oom
-- include: step member job holding
-- Arguments: now, ttl, and for each lease its id, queue and job id.
-- Result: a character for each (h: held, l: lost, c: held, and its cancellation was asked for).
-- Effect: the ends of the leases of these jobs, which stand beside their fences.

local ends, answers = now + number(), {}
for index = 1, (#ARGV - 2) / 3 do
    local lease, key, id = lease_named(arg()), yard .. ':running:' .. arg(), arg()
    local until_ = held_until(call('HGET', key, id), lease)
    if not until_ then
        answers[index] = 'l'
    else
        if ends > until_ then
            call('HSET', key, id, lease.fence .. ':' .. text(ends))
        end
        answers[index] = standing(id)
    end
end
return table.concat(answers)
