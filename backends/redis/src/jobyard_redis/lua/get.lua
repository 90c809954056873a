-- get: shows jobs by id.
--
-- flags: no-writes
-- include: step member job showing
-- Arguments: now, the ids.
-- Result: for each id false, or what parts/showing.lua tells.
-- Effect: none.

local shown = {}
for index = 2, #ARGV do
    local job = load(ARGV[index])
    shown[index - 1] = job and show(job) or false
end
return shown
