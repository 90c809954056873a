-- add: stores units of jobs, each as a whole or not at all.
--
-- flags: none
-- include: step member job moves kin gates keys limits plain adding close
-- Arguments: now, then those of parts/adding.lua.
-- Result: a character for each job, and for some a line, as parts/adding.lua says.
-- Effect: records, places in line, among the delayed or the blocked, numbers, what holds jobs back,
-- counts, events, wake-ups.

local said = add_jobs()
close()
return said
