"""Measurements: the paper's runs, worlds of known law, validity, whole campaigns, devices."""
