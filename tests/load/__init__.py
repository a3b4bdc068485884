"""The web server under load, by a load tool: ``make bench-load``."""
