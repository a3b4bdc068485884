"""MCAL: minimum-cost human-machine active labeling, as a pure decision engine.

Arrays and values go in, a decision comes out: no clock, no files, no network. See :mod:`mcal_engine.engine`.
"""

__version__ = "0.2.0"
