"""What was applied, kept in one SQLite file: revisions, their schema, and marks that tell one life of a name from the next."""
