"""Reads the node, judges nothing."""
