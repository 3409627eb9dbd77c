"""Captures: what the core applied, in a file, and the same core fed from it. The format is docs/capture-format.md."""
