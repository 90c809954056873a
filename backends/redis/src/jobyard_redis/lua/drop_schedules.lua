-- drop_schedules: forgets schedules.
--
-- flags: allow-oom
-- include: step
-- Arguments: now, the keys.
-- Result: how many there were.
-- Effect: they are gone.

local dropped = 0
for index = 2, #ARGV do
    dropped = dropped + call('HDEL', yard .. ':schedules', ARGV[index])
    call('ZREM', yard .. ':ticks', ARGV[index])
    call('ZREM', yard .. ':keys', ARGV[index])
end
return dropped
