-- swap_schedule: puts a schedule in the place of another, if that is what is stored.
--
-- flags: none
-- include: step
-- Arguments: now, the key, the whole of the one expected or empty for none, then of the new one its
-- next instant or empty, 1 if paused, and the whole of it, empty to forget the schedule.
-- Result: 1 if it was put, else 0.
-- Effect: as put_schedules, or as drop_schedules.

local key, expected, next_at, paused, whole = arg(), arg(), arg(), arg(), arg()
if (call('HGET', yard .. ':schedules', key) or '') ~= expected then
    return 0
end
if whole == '' then
    call('HDEL', yard .. ':schedules', key)
    call('ZREM', yard .. ':keys', key)
else
    call('HSET', yard .. ':schedules', key, whole)
    call('ZADD', yard .. ':keys', 0, key)
end
if next_at == '' or paused == '1' then
    call('ZREM', yard .. ':ticks', key)
else
    call('ZADD', yard .. ':ticks', next_at, key)
end
return 1
