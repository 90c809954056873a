-- report: writes progress and log lines of runs.
--
-- flags: none
-- include: step member job moves holding close
-- Arguments: now, and for each note its lease id, queue, job id, the lines to keep or empty for
-- progress, and the line or value.
-- Result: a character for each, as of extend.
-- Effect: progress and logs of the jobs that are held, and events of progress.

local answers = {}
for index = 1, (#ARGV - 1) / 5 do
    local lease, queue, id, keep, value = lease_named(arg()), arg(), arg(), number(), arg()
    if not held_until(call('HGET', yard .. ':running:' .. queue, id), lease) then
        answers[index] = 'l'
    else
        if keep then
            call('SADD', yard .. ':logged', id)
            call('RPUSH', yard .. ':log:' .. id, value)
            call('LTRIM', yard .. ':log:' .. id, -keep, -1)
        else
            call('HSET', yard .. ':progress', id, value)
            if logging then
                tell_run('progress', load(id), nil, value)
            end
        end
        answers[index] = standing(id)
    end
end
close()
return table.concat(answers)
