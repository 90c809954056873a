"""The peers that keep their jobs in SQLite, and jobyard."""
