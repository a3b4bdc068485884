"""Nets that are trained here, and the loop that trains them."""
