-- change: applies one change to each of some jobs.
--
-- flags: allow-oom
-- include: step member job moves kin gates keys limits close
-- Arguments: now, the kind of change, its value, a second value, then the ids.
-- Result: for each job a character (o: done, a: asked, n: not found, w: wrong state) and its state.
-- Effect: as the change asks.

local kind, value, second = arg(), arg(), arg()

local FITTING = {
    run_now = 'd', reschedule = 'wd', priority = 'wdb', payload = 'wdba', progress = 'a',
    revive = 'fxsl', cancel = 'wdba', remove = 'wdbcfxsl',
}
local MOVABLE = { waiting = 'acfxsl', completed = 'wdbas', failed = 'wdbas', stalled = 'a' }

local changes = {}

function changes.run_now(job)
    leave(job)
    admit(job, now)
    write_facts(job)
end

function changes.reschedule(job)
    local due = second == 'at' and tonumber(value) or now + value
    leave(job)
    enter(job, due)
    write_facts(job)
end

function changes.priority(job)
    local state, gate = job.state, job.gate
    leave(job)
    job.priority = tonumber(value)
    if state == 'w' then
        admit(job, job.due)
    elseif state == 'b' then
        gates.block(job, gate, job.due)
    else
        delay(job, job.due)
    end
    write_facts(job)
end

function changes.payload(job)
    write_body(job, value)
end

function changes.progress(job)
    call('HSET', yard .. ':progress', job.id, value)
    tell_run('progress', job, nil, value)
end

function changes.revive(job)
    leave(job)
    job.crashes = 0
    if value == '1' then
        job.failures = 0
    else
        job.failures = math.max(math.min(job.failures, job.attempts - 1), 0)
    end
    tell_job('revived', job)
    revive(job)
end

function changes.cancel(job)
    leave(job)
    tell_job('cancelled', job)
    finish(job, 'x')
end

function changes.remove(job)
    tell_job('removed', job)
    tally(job.queue, 'd', 1)
    leave(job)
    let_go_of(job)
    forget_many({ job.member })
end

local moves = {}

function moves.waiting(job, was)
    if was == 'a' then
        tell_run('released', job)
        leave(job)
        admit(job, now)
        write_facts(job)
    else
        tell_job('revived', job)
        leave(job)
        revive(job)
    end
end

local function body()
    return second ~= '' and string.sub(second, 2) or nil
end

function moves.completed(job)
    tell_job('completed', job, body())
    leave(job)
    job.result = body()
    finish(job, 'c')
end

function moves.failed(job)
    tell_job('failed', job, body())
    leave(job)
    job.error, job.reason = body(), 'admin'
    finish(job, 'f')
end

function moves.stalled(job)
    tell_run('stalled', job, nil, body())
    leave(job)
    job.error = body()
    finish(job, 's')
end

function changes.move(job)
    moves[value](job, job.state)
end

local fitting = kind == 'move' and (MOVABLE[value] or '') or FITTING[kind]
local answers = {}

local function change_one(id)
    local job = load(id)
    if not job then
        return 'n', '-'
    end
    local fits = string.find(fitting, job.state, 1, true)
    if kind == 'cancel' and job.state == 'a' then
        if value ~= '1' then
            return 'w', 'a'
        end
        call('SADD', yard .. ':cancelling', id)
        return 'a', 'a'
    end
    if not fits then
        return 'w', job.state
    end
    changes[kind](job)
    return 'o', job.state
end

for index = 5, #ARGV do
    local outcome, state = change_one(ARGV[index])
    answers[#answers + 1] = outcome .. state
end
close()
return table.concat(answers)
