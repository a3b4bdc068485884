"""Worlds whose error law is known, so that the best bill is too."""
