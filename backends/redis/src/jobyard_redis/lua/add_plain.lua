-- add_plain: stores jobs that nothing may hold back, of any units.
--
-- flags: none
-- include: step member load(job) plain close
-- Arguments: now, then those of parts/plain.lua.
-- Result: a character for each job, as parts/plain.lua says.
-- Effect: records, places in line or among the delayed, numbers, counts, events, wake-ups.

add_plain(1, read_jobs())
close()
return table.concat(answers)
