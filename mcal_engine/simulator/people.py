"""The people of a simulated campaign: they answer what they are asked, and every answer is counted and paid."""

from __future__ import annotations

import numpy as np

from mcal_engine.errors import InvalidValue
from mcal_engine.types import IntArray


class Annotators:
    """People who label each item as the data set does.

    The labels are theirs: a campaign holds this object and learns only the labels it asked for.
    """

    def __init__(self, labels: IntArray) -> None:
        """``labels``: shape (n,), the answer for each row of the data set."""
        self.__labels = np.asarray(labels, dtype=np.int64)
        self.n_labels_paid = 0

    def ask(self, ids: IntArray) -> IntArray:
        """Labels of ``ids``, in their order; asking for the same item twice is paid twice."""
        ids = np.asarray(ids, dtype=np.int64)
        if len(ids) and (ids.min() < 0 or ids.max() >= len(self.__labels)):
            raise InvalidValue(f"people know the items 0 … {len(self.__labels) - 1}, asked for {ids.min()} … {ids.max()}")
        self.n_labels_paid += len(ids)
        return self.__labels[ids]
