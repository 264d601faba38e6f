"""Expectations, what requests are to be answered with: read from YAML, and held against SMI and every mesh (`smihub test`)."""
