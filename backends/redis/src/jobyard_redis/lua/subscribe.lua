-- subscribe: asks for events to be logged for a time; again, to go on; 0 ends it.
--
-- flags: allow-oom
-- include: step
-- Arguments: now, subscription, ttl.
-- Result: the number of the latest event.
-- Effect: the subscription; and a number passed over if nobody was subscribed, so that a cursor
-- from before is known to have missed what nobody asked for.

local subscription, ttl = arg(), number()
local key = yard .. ':subscriptions'
call('ZREMRANGEBYSCORE', key, '-inf', text(now))
if ttl > 0 then
    if not logging then
        call('DEL', yard .. ':events')
        call('HINCRBY', yard, 'event', 1)
    end
    call('ZADD', key, text(now + ttl), subscription)
else
    call('ZREM', key, subscription)
end
return call('HGET', yard, 'event') or '0'
