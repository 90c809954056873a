-- peek: shows the jobs that the same claim would give.
--
-- flags: no-writes
-- include: step member job moves gates limits holding claiming showing
-- Arguments: now, then those of parts/claiming.lua.
-- Result: for each job what parts/showing.lua tells.
-- Effect: none.

-- The due jobs of a source among those that the claim would promote, in claim order: a cursor for
-- each lane that they would be in.
local function add_due_cursors(cursors, source, instant)
    local due = due_members(source.queue, instant)
    local of_lane, rooms = {}, {}
    for index = 1, #due, 2 do
        local member, priority, lane = string.match(due[index], DELAYED)
        local admitted = not has(flags_of(member), WISHES)
            or gates.would_admit(load(id_of(member)), rooms, instant)
        if admitted and serves(source, lane) then
            local score = line_score(tonumber(priority), due[index + 1],
                has(flags_of(member), LIFO))
            local found = of_lane[lane] or {}
            of_lane[lane] = found
            found[#found + 1] = { member = line_member(member), score = tonumber(score) }
        end
    end
    for lane, found in pairs(of_lane) do
        table.sort(found, before)
        local chunk = {}
        for _, each in ipairs(found) do
            chunk[#chunk + 1], chunk[#chunk + 2] = each.member, each.score
        end
        cursors[#cursors + 1] = {
            source = source, queue = source.queue, chunk = chunk, base = 0, at = 1,
            limiters = limiters_of(source.queue, lane),
        }
    end
end

local want = read_want()
local shown = {}
if want.limit <= 0 or #want.sources == 0 then
    return shown
end
local lease = lease_named(want.lease_id)
if lease then
    for index, each in ipairs(taken_by(lease)) do
        shown[index] = show(load(each.id))
    end
    return shown
end
local open = open_queues(want)
local cursors = cursors_of(want, open)
for _, source in ipairs(want.sources) do
    if open[source.queue] and source.limit > 0 then
        add_due_cursors(cursors, source, want.instant)
    end
end
merge(cursors, want.limit, function(cursor)
    local job = load(id_of(cursor.member))
    if expired(job) then
        return false
    end
    shown[#shown + 1] = show(job)
    return true
end)
return shown
