"""Whole campaigns in one process: a virtual clock, a fake Label Studio with people in it, and a fault at any call. One seed, one life.

It is shipped, as the simulator and the benchmarks are, so that it tests what is deployed: this Python, this SQLAlchemy, this SQLite.
"""
