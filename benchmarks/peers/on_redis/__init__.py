"""The peers that keep their jobs in Redis, and jobyard."""
