"""Judges, touches nothing."""
