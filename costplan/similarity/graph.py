"""Texts -> the pairs among them that lie close together, each with its cosine; what a text means is not known here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Neighbours of U texts with a cosine of at least `least`, symmetric, without the text itself.

    Rows are in CSR form: the neighbours of text i are `neighbour[offsets[i]:offsets[i + 1]]`, nearest first (of equals,
    the lower number).
    """

    offsets: NDArray[np.int64]
    """(U + 1,)"""
    neighbour: NDArray[np.int32]
    """(E,)"""
    cosine: NDArray[np.float32]
    """(E,)"""
    least: float

    @property
    def texts(self) -> int:
        """U."""
        return len(self.offsets) - 1
