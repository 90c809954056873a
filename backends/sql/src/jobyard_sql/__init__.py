"""The SQL that the SQLite and PostgreSQL backends of jobyard share."""
