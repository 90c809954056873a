"""The place of the PostgreSQL backend of jobyard, which is not in this version yet."""
