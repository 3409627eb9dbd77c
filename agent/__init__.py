"""Owns time, threads, configuration and output."""

__version__ = "0.1.0"
