"""The SQLite backend of jobyard."""
