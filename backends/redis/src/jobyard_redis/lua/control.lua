-- control: makes a queue known, pauses or resumes it, limits it or holds it back.
--
-- flags: allow-oom
-- include: step member job moves limits close
-- Arguments: now, queue, what to do: declare; pause; resume; limit, with 'q' for the queue or 'n' and
-- a name, the most that are active or empty, the count and the period of the rate or empty; hold,
-- with the same and for how long, 0 to end all holds.
-- Result: none.
-- Effect: the queue's word in :queues, empty for one that gives jobs; 'p' paused, 'c' closing; what
-- parts/limits.lua says.

local queue, wish = arg(), arg()
local key = yard .. ':queues'
call('HSETNX', key, queue, '')
local word = call('HGET', key, queue)
local paused = string.find(word, 'p', 1, true)
if wish == 'pause' and not paused then
    call('HSET', key, queue, word .. 'p')
    if logging then
        tell('paused', queue)
    end
elseif wish == 'resume' then
    if paused then
        call('HSET', key, queue, (string.gsub(word, 'p', '')))
        if logging then
            tell('resumed', queue)
        end
    end
    woken[queue] = true
elseif wish == 'limit' then
    local limiter, most = limits.get(queue, arg()), number()
    local count, per = number(), number()
    limits.set(limiter, most, count, per)
    limits.drop(queue)
    woken[queue] = true
elseif wish == 'hold' then
    local limiter, ms = limits.get(queue, arg()), number()
    limiter.held_until = ms > 0 and math.max(limiter.held_until, now + ms) or 0
    limits.drop(queue)
    woken[queue] = true
end
close()
return false
