-- schedules: lists schedules by key, those that are due in no order.
--
-- flags: no-writes
-- include: step
-- Arguments: now, 1 for those alone that are due, the key to go on from or empty, the most to list.
-- Result: the keys, and for each the whole of it.
-- Effect: none.

local due, after, limit = arg() == '1', arg(), number()
local keys
if due then
    keys = call('ZRANGEBYSCORE', yard .. ':ticks', '-inf', text(now))
else
    local from = after ~= '' and '(' .. after or '-'
    keys = call('ZRANGEBYLEX', yard .. ':keys', from, '+', 'LIMIT', 0, limit)
end
return { keys, many('HMGET', yard .. ':schedules', keys) }
