-- control: makes a queue known, pauses or resumes it.
--
-- flags: allow-oom
-- include: step close
-- Arguments: now, queue, what to do (declare, pause, resume).
-- Result: none.
-- Effect: the queue's word in :queues, empty for one that gives jobs; 'p' paused, 'c' closing.

local queue, wish = arg(), arg()
local key = yard .. ':queues'
call('HSETNX', key, queue, '')
local word = call('HGET', key, queue)
local paused = string.find(word, 'p', 1, true)
if wish == 'pause' and not paused then
    call('HSET', key, queue, word .. 'p')
    if logging then
        tell('paused', queue)
    end
elseif wish == 'resume' then
    if paused then
        call('HSET', key, queue, (string.gsub(word, 'p', '')))
        if logging then
            tell('resumed', queue)
        end
    end
    woken[queue] = true
end
close()
return false
