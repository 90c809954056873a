-- Showing a job: its record, its facts, its state, its lease (fence|end|start|worker, or false),
-- its progress, and whether its cancellation was asked for.

local function show(job)
    local lease = false
    if job.state == 'a' then
        lease = table.concat(
            { text(job.fence), text(job.held_until), text(job.started), job.worker }, '|')
    end
    return {
        job.id, job.record, job.facts or false, job.state, lease,
        call('HGET', yard .. ':progress', job.id),
        call('SISMEMBER', yard .. ':cancelling', job.id),
    }
end
