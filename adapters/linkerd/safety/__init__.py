"""The last look at final bytes: a closed list of allowed shapes. `check` is the entry."""
