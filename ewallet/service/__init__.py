"""The HTTP service: a thin face of the library. What it does, a Python call does too [extra: service]."""
