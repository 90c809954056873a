-- add: stores jobs, all of the call or none.
--
-- flags: none
-- include: step job moves adding close
-- Arguments: now, then those of parts/adding.lua.
-- Result: a character for each job, its state; a capital for one that was created.
-- Effect: records, places in line or among the delayed, numbers, counts, events, wake-ups.

local answers = add_jobs()
close()
return table.concat(answers)
