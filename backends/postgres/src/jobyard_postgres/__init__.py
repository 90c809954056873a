"""The PostgreSQL backend of jobyard."""
