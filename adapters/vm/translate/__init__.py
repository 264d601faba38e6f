"""Translate one unit of intent into xDS resources: pure. `unit` is the entry."""
