"""The place of the Redis backend of jobyard, which is not in this version yet."""
