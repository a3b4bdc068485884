"""Campaigns of real parts that are killed, stopped and cut off at random moments: ``make chaos``."""
