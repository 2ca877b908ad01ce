"""See the house: trust."""
