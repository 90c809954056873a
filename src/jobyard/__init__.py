"""One job queue API over SQLite, PostgreSQL and Redis."""
