-- beat: notes that a worker lives, or that it has stopped.
--
-- flags: allow-oom
-- include: step close
-- Arguments: now, ttl, id, state, and what the worker says of itself.
-- Result: none.
-- Effect: :workers has start|last word|state|what it says, :alive until when that counts; events.

local ttl, id, state, info = number(), arg(), arg(), arg()
local workers, alive = yard .. ':workers', yard .. ':alive'

for _, gone in ipairs(call('ZRANGEBYSCORE', alive, '-inf', text(now))) do
    call('HDEL', workers, gone)
    call('ZREM', alive, gone)
end

local function say(kind)
    if logging then
        tell(kind, '', nil, nil, id)
    end
end

local known = call('HGET', workers, id)
local started, last_state = text(now), ''
if known then
    started, last_state = string.match(known, '^(%d+)|%d+|(%a+)|')
end
if state == 'stopped' then
    if known then
        say('worker_stopped')
        call('HDEL', workers, id)
        call('ZREM', alive, id)
    end
else
    if not known then
        say('worker_started')
    end
    if state == 'stopping' and last_state ~= 'stopping' then
        say('worker_stopping')
    elseif known then
        say('heartbeat')
    end
    call('HSET', workers, id, started .. '|' .. text(now) .. '|' .. state .. '|' .. info)
    call('ZADD', alive, text(now + ttl), id)
end
close()
return false
