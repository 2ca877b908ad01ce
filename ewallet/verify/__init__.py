"""See the house: verify."""
