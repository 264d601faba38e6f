"""Translate one unit of intent into Linkerd objects: pure. `unit` is the entry."""
