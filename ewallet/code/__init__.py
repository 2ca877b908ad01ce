"""See the house: code."""
