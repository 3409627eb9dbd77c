"""Readers of how the node itself is configured; ``reader`` puts them together."""
