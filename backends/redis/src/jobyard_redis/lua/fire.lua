-- fire: moves a schedule on and adds the jobs of its tick, if nobody else has.
--
-- flags: none
-- include: step member job moves kin gates keys limits plain adding close
-- Arguments: now, key, the instant expected, the next one or empty, then those of parts/adding.lua.
-- Result: false, or as add.
-- Effect: the schedule and what add does.

local key, expected, next_at = arg(), arg(), arg()
local stored = call('HGET', yard .. ':schedules', key)
if not stored then
    return false
end
local paused, at, _, fired, definition = string.match(stored, '^(%d)|(%d*)|(%d*)|(%d+)|(.*)$')
if paused == '1' or at ~= expected then
    return false
end
local moved = table.concat({ '0', next_at, expected, text(fired + 1), definition }, '|')
local said = add_jobs()
call('HSET', yard .. ':schedules', key, moved)
if next_at == '' then
    call('ZREM', yard .. ':ticks', key)
else
    call('ZADD', yard .. ':ticks', next_at, key)
end
if logging then
    for _, at in ipairs(created) do
        tell('scheduled', shape_of[at].queue, ids[at], shape_of[at].name)
    end
end
close()
return said
