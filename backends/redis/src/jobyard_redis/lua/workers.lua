-- workers: lists the workers that live.
--
-- flags: no-writes
-- include: step
-- Arguments: now.
-- Result: what :workers has of each.
-- Effect: none.

local ids = call('ZRANGEBYSCORE', yard .. ':alive', '(' .. text(now), '+inf')
if #ids == 0 then
    return {}
end
return many('HMGET', yard .. ':workers', ids)
