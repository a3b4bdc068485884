"""Readers of labelled images in the layouts that tools and people write: folders, lists, arrays, parquet files.

A reader decides nothing silently. What is plain it reads; where a layout could mean two things it refuses, names the layout and says what
to pass; and every file that is not used is counted under a reason. It opens no image: see :mod:`mcal_engine.simulator.decoding`.
"""

from mcal_engine.simulator.readers.any_layout import LAYOUTS, read_listing
from mcal_engine.simulator.readers.listing import Listing

__all__ = ["LAYOUTS", "Listing", "read_listing"]
