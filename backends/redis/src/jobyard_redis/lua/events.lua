-- events: reads the log after a cursor.
--
-- flags: no-writes
-- include: step
-- Arguments: now, the number of the event before, the most events.
-- Result: the number of the last event read, 1 if events in between are gone, and the events.
-- Effect: none.

local asked, limit = number(), number()
local key = yard .. ':events'
local latest = tonumber(call('HGET', yard, 'event') or 0)
local dropped = latest - call('LLEN', key)
local start = math.max(asked, dropped)
local found = {}
if limit > 0 then
    found = call('LRANGE', key, start - dropped, start - dropped + limit - 1)
end
return { text(start + #found), asked < dropped and 1 or 0, found }
