"""A sink and a source for smihub, to copy."""
