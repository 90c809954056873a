-- obliterate: removes a queue and all that it holds, a step of it.
--
-- flags: allow-oom
-- include: step member job moves kin gates keys limits removing close
-- Arguments: now, limit, queue, 1 to remove active jobs too.
-- Result: as drain, or the number of active jobs alone, which keep it from happening.
-- Effect: the queue gives nothing from the first step on, and is not known after the last.

limit = number()
local queue, force = arg(), arg() == '1'
local running = yard .. ':running:' .. queue
local word = call('HGET', yard .. ':queues', queue)
if not word then
    return { 0, 0 }
end
local active = call('HLEN', running)
if active > 0 and not force and not string.find(word, 'c', 1, true) then
    return { active }
end

-- The first fields of the hash, not all: it may be long.
local function clear_running()
    local cursor = '0'
    repeat
        local page = call('HSCAN', running, cursor, 'COUNT', 100)
        cursor = page[1]
        for index = 1, #page[2], 2 do
            if room() <= 0 then
                return
            end
            local job = load(page[2][index])
            if job and job.state == 'a' then
                leave(job)
                let_go_of(job)
                remove(job.member, queue, job.name)
            end
        end
    until cursor == '0'
end

local function holds_any()
    if is_busy(queue) or call('EXISTS', yard .. ':delayed:' .. queue, yard .. ':blocked:' .. queue) > 0
    then
        return true
    end
    for state in string.gmatch('cfxsl', '.') do
        if on_shelves(queue, state) > 0 then
            return true
        end
    end
    return not gates.forget_rates(queue, limit)
end

drain_lanes(queue)
drain_delayed(queue)
drain_blocked(queue)
clear_running()
for state in string.gmatch('cfxsl', '.') do
    for _, on in ipairs(SHELVES) do
        clear_shelf(queue, state, on)
    end
end
forget_removed()
local left = holds_any() and 1 or 0
if left == 1 then
    if not string.find(word, 'c', 1, true) then
        call('HSET', yard .. ':queues', queue, word .. 'c')
    end
    close()
else
    counts[queue] = nil
    close()
    call('HDEL', yard .. ':queues', queue)
    call('DEL', yard .. ':tally:' .. queue)
    call('UNLINK', yard .. ':dedup:' .. queue)
    if any('limited') then
        limits.drop(queue, true)
    end
end
return { #removed, left }
