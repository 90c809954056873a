-- retain: removes finished jobs past their own rule, or past the general bounds, a step of it.
--
-- flags: allow-oom
-- include: step member job moves kin gates keys limits removing close
-- Arguments: now, limit, the age of completed jobs, of others, and the most finished jobs a queue.
-- Result: as drain.
-- Effect: those jobs are gone, and dedup keys that nobody holds, rates of which nothing is left.

limit, kind = number(), 'deleted'
local completed_age, others_age, most = number(), number(), number()
local KEPT_BY_AGE = { 'c', 'f', 'l', 'x' }

local function remove_finished(member, queue, state)
    local job = load(id_of(member))
    unshelve(job, state)
    remove(member, queue, job.name)
end

local function past_age()
    for _, queue in ipairs(sorted_queues()) do
        for _, state in ipairs(KEPT_BY_AGE) do
            clear_shelf(queue, state, 'done', now - (state == 'c' and completed_age or others_age))
        end
    end
end

local function past_own_age()
    if room() > 0 then
        local found = call('ZRANGEBYSCORE', yard .. ':purge', '-inf', '(' .. text(now),
            'LIMIT', 0, room())
        for _, entry in ipairs(found) do
            local queue, state, member = string.match(entry, '^([^|]*)|(.)|(.*)$')
            remove_finished(member, queue, state)
        end
    end
end

-- How many finished later than a job, in its queue and state.
local function newer(queue, state, member, finished)
    local count = call('ZREVRANK', shelf(queue, state, 'ruled'), member)
    for _, on in ipairs({ 'done', 'needed' }) do
        local key = shelf(queue, state, on)
        count = count + call('ZCOUNT', key, '(' .. finished, '+inf')
        for _, other in ipairs(call('ZRANGEBYSCORE', key, finished, finished)) do
            if number_of(other) > number_of(member) then
                count = count + 1
            end
        end
    end
    return count
end

local function past_own_count()
    for _, of_count in ipairs(call('SMEMBERS', yard .. ':counts')) do
        local queue, state, bound = string.match(of_count, '^(.*):(.):(%d+)$')
        while room() > 0 do
            local first = call('ZRANGE', yard .. ':newest:' .. of_count, 0, 0, 'WITHSCORES')
            if not first[1] or newer(queue, state, first[1], first[2]) < tonumber(bound) then
                break
            end
            remove_finished(first[1], queue, state)
        end
    end
end

local function oldest(queue)
    local found, of_state
    for _, state in ipairs(KEPT_BY_AGE) do
        for _, on in ipairs({ 'done', 'ruled' }) do
            local first = call('ZRANGE', shelf(queue, state, on), 0, 0, 'WITHSCORES')
            if first[1] and (not found or tonumber(first[2]) < tonumber(found[2])
                or (first[2] == found[2] and number_of(first[1]) < number_of(found[1]))) then
                found, of_state = first, state
            end
        end
    end
    return found and found[1], of_state
end

local function finished_in(queue)
    local count = 0
    for _, state in ipairs(KEPT_BY_AGE) do
        count = count + on_shelves(queue, state)
    end
    return count
end

local function past_count()
    for _, queue in ipairs(sorted_queues()) do
        local beyond = finished_in(queue) - most
        while beyond > 0 and room() > 0 do
            local member, state = oldest(queue)
            if not member then
                break
            end
            remove_finished(member, queue, state)
            beyond = beyond - 1
        end
    end
end

keys.tidy(limit)
gates.tidy(limit)
past_age()
past_own_age()
past_own_count()
past_count()
forget_removed()
close()
return { #removed, room() <= 0 and 1 or 0 }
