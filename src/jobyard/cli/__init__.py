"""The command line, a client of `QueueService`; needs the extra `cli`."""
