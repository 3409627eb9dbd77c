"""Benchmarks that print figures: CPU time, and ratios against a baseline in the same run (machines are noisy)."""
