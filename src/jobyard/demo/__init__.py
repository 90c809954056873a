"""The demo: jobyard indexes a directory tree while one of its workers is killed.

It uses jobyard as any app would, through `QueueService` alone, so it is also an example: `indexing`
has the handlers, `worker` is a worker process, `orders` adds the jobs, `show` runs it all.
"""
