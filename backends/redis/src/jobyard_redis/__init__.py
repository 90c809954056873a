"""The Redis and Valkey backend of jobyard."""
