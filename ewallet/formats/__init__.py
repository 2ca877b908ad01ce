"""See the house: formats."""
