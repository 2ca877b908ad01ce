"""Measurements, always against the raw primitive in the same run: `make bench`."""
