"""The conformance kit: a program that tells the author of an adapter whether it would let someone in.

It believes no adapter: neither what it declares nor what its own `evaluate` says. The pytest plugin (hub.testing.conformance.plugin) says
what an author writes; the suite without pytest is hub.testing.conformance.suite.
"""
