"""Sinks of the hub itself: what writes native objects of a family to where a mesh, or somebody for it, reads them."""
