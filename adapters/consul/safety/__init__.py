"""The last look at an object before it leaves the hub."""
