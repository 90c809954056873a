-- drain: removes the waiting and blocked jobs of a queue, and the delayed ones if asked, a step of
-- it.
--
-- flags: allow-oom
-- include: step member job moves kin gates keys limits removing close
-- Arguments: now, limit, queue, 1 for delayed jobs too.
-- Result: how many were removed, and 1 if any are left.
-- Effect: those jobs are gone.

limit = number()
local queue, delayed = arg(), arg() == '1'
drain_lanes(queue)
drain_blocked(queue)
if delayed then
    drain_delayed(queue)
end
forget_removed()
local left = call('EXISTS', yard .. ':lanes:' .. queue)
if left == 0 then
    left = call('EXISTS', yard .. ':blocked:' .. queue)
end
if delayed and left == 0 then
    left = call('EXISTS', yard .. ':delayed:' .. queue)
end
close()
return { #removed, left }
