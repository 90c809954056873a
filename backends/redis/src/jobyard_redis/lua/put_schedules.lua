-- put_schedules: stores schedules, each replacing the one of its key.
--
-- flags: none
-- include: step
-- Arguments: now, and for each its key, its next instant or empty, 1 if paused, and the whole of it.
-- Result: none.
-- Effect: :schedules has paused|next|last|fired|definition, :ticks the instants of those
-- not paused, :keys all keys in order.

for _ = 1, (#ARGV - 1) / 4 do
    local key, next_at, paused, whole = arg(), arg(), arg(), arg()
    call('HSET', yard .. ':schedules', key, whole)
    call('ZADD', yard .. ':keys', 0, key)
    if next_at == '' or paused == '1' then
        call('ZREM', yard .. ':ticks', key)
    else
        call('ZADD', yard .. ':ticks', next_at, key)
    end
end
return false
