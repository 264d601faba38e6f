"""Translate one unit of intent into Istio objects: pure. `unit` is the entry."""
