-- Kin: the jobs that wait for others, and what the end of those means for them.
--
-- :needed         the ids of the jobs that unfinished jobs depend on
-- :children:<id>  the members of those that depend on a job: 1 for one that waits for it, else 0
--
-- table: kin

local function children_of(id)
    return yard .. ':children:' .. id
end

-- Tells which of some jobs are needed, as a set.
function kin.among(ids)
    local found = {}
    for first = 1, #ids, PIECE do
        local last = math.min(first + PIECE - 1, #ids)
        local piece = call('SMISMEMBER', yard .. ':needed', unpack(ids, first, last))
        for index = first, last do
            found[ids[index]] = piece[index - first + 1] == 1 or nil
        end
    end
    return found
end

-- Whether a parent will not run again by itself; a stalled one waits for a person.
local function has_ended(parent)
    return parent.end_state ~= nil and parent.end_state ~= 's'
end

-- The parents of a job, each once: id, and whether its failure fails the job.
local function parents_of(job)
    local found, seen = {}, {}
    for policy, spelling in string.gmatch(job.parents or '', '(%a)([^,]+)') do
        local id = packed(spelling)
        if not seen[id] then
            seen[id] = true
            found[#found + 1] = { id = id, fails = policy == 'f' }
        end
    end
    return found
end

-- Lets a parent know of an unfinished job, so that its record stays; one that had finished goes to
-- the shelf of those that may not go.
local function attach_to(parent, job, waits)
    call('ZADD', children_of(parent.id), waits and 1 or 0, job.member)
    any('needed')
    local is_new = call('SADD', yard .. ':needed', parent.id) == 1 and parent.end_state
    if is_new then
        unshelve(parent, parent.end_state)
    end
    in_use.needed = true
    if is_new then
        shelve(parent, parent.end_state)
    end
end

function kin.attach(job)
    for _, each in ipairs(parents_of(job)) do
        local parent = load(each.id)
        if parent then
            attach_to(parent, job, false)
        end
    end
end

local function fail_for_parent(job)
    job.waits = nil
    tell_job('failed', job)
    fail(job, 'dependency')
end

-- Lets a new job wait for its parents, or go where they lead if all have ended. One that held the
-- key of a parent and is gone has ended well.
function kin.enter(job, due)
    local found, open, fails = {}, 0, false
    for _, each in ipairs(parents_of(job)) do
        local parent = load(each.id)
        if parent then
            found[#found + 1] = parent
            if not has_ended(parent) then
                open = open + 1
            elseif parent.end_state ~= 'c' and each.fails then
                fails = true
            end
        end
    end
    if fails then
        fail_for_parent(job)
        return
    end
    for _, parent in ipairs(found) do
        attach_to(parent, job, not has_ended(parent))
    end
    if open > 0 then
        job.waits = open
        gates.block(job, 'p', due)
    else
        enter(job, due)
    end
end

-- -- ends ---------------------------------------------------------------------------------------

-- The jobs that have ended or gone in this step and that others depend on.
local ended = {}

-- Notes that a job ends or goes, for its children and its parents.
function kin.tell(job)
    job.waits = nil
    for _, each in ipairs(parents_of(job)) do
        local siblings = children_of(each.id)
        if call('ZREM', siblings, job.member) == 1 and call('EXISTS', siblings) == 0 then
            call('SREM', yard .. ':needed', each.id)
            local parent = load(each.id)
            local on = parent and parent.end_state
                and shelf(parent.queue, parent.end_state, 'needed')
            if on and call('ZREM', on, parent.member) == 1 then
                shelve(parent, parent.end_state)
            end
        end
    end
    if is_needed(job.id) then
        ended[#ended + 1] = { id = job.id, member = job.member, end_state = job.state }
    end
end

local function go_on(child, ending)
    local policy
    for _, each in ipairs(parents_of(child)) do
        if each.id == ending.id then
            policy = each
        end
    end
    if ending.end_state ~= 'c' and policy.fails then
        leave(child)
        fail_for_parent(child)
        return
    end
    child.waits = child.waits - 1
    call('ZADD', children_of(ending.id), 0, child.member)
    if child.waits > 0 then
        gates.note(child)
        return
    end
    child.waits = nil
    leave(child)
    enter(child, child.due)
end

-- Tells the children of the jobs that have ended in this step, and theirs in turn (DEP-3).
function kin.resolve()
    local index = 1
    while index <= #ended do
        local ending = ended[index]
        local there = load(ending.id)
        if there and there.member ~= ending.member then
            there = nil
        end
        if not there or has_ended(there) then
            if there then
                ending.end_state = there.end_state
            end
            local waiting = call('ZRANGEBYSCORE', children_of(ending.id), 1, 1)
            for _, member in ipairs(waiting) do
                go_on(load(id_of(member)), ending)
            end
        end
        if not there then
            call('DEL', children_of(ending.id))
            call('SREM', yard .. ':needed', ending.id)
        end
        index = index + 1
    end
    ended = {}
end

table.insert(at_close, 1, kin.resolve) -- before what it changes is written down
