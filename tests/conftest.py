"""For all tests: hypothesis uses fixed seeds and no clock; searches with new seeds are the slow tests' own business."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")
