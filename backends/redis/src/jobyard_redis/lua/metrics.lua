-- metrics: tells what was counted in a queue.
--
-- flags: no-writes
-- include: step
-- Arguments: now, queue.
-- Result: fields and values; a field is a minute, 0 for all that are kept no more, and a figure.
-- Effect: none.

return call('HGETALL', yard .. ':tally:' .. arg())
