"""Histories that other versions of this program have written, and what today's code must make of them."""
