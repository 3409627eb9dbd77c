"""What is wrong with a capture."""

from __future__ import annotations


class CaptureError(Exception):
    """A file that is no capture, is damaged, or is of another version: which, and where. Nothing else is raised."""
