"""Where alerts go: one module a sink."""
