"""See the house: licenses."""
