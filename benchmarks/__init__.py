"""Measurements, each one command: ``./benchmarks/run NAME``."""
