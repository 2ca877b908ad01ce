"""Electronic licenses and rotating identity codes."""

__version__ = "0.1.0"
