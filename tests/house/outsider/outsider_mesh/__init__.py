"""A mesh backend as somebody outside this repository would write it; `tests/house/test_outsider.py` installs it."""
