"""The peers that keep their jobs in PostgreSQL, and jobyard."""
