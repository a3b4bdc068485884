"""Checks an installation, and connects one."""
