"""The conformance kit: case files, random worlds and properties that every adapter can be held against."""
