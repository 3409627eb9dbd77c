"""Readers of /proc: one module a file, each a pure parser and a thin reader bound to a directory descriptor."""
