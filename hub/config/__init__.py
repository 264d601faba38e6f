"""smihub.yaml: what it may say, checked, with file and line in every error. `file` is the entry."""
