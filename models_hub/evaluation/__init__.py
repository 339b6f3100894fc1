"""Measurements against real footage, and benchmarks of the whole run."""
