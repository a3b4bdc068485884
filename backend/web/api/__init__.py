"""The JSON API: its operations in one table, and the description that is made from it."""
