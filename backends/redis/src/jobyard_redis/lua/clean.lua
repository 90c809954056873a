-- clean: removes finished jobs that are older than an age, a step of it.
--
-- flags: allow-oom
-- include: step member job moves kin gates keys limits removing close
-- Arguments: now, limit, age, the states as characters, the queue or empty for all.
-- Result: as drain.
-- Effect: those jobs are gone.

limit = number()
local before, states, queue = now - number(), arg(), arg()
local left = 0
for _, name in ipairs(queue ~= '' and { queue } or sorted_queues()) do
    for state in string.gmatch(states, '.') do
        for _, on in ipairs(SHELVES) do
            clear_shelf(name, state, on, before)
            if call('ZCOUNT', shelf(name, state, on), '-inf', '(' .. text(before)) > 0 then
                left = 1
            end
        end
    end
end
forget_removed()
close()
return { #removed, left }
