"""Renderings of an alert: one module a format, all pure."""
