"""Requests in order of arrival against a cache that serves what is near enough; wrong or right is not known here."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Setting:
    """How the simulated cache behaves."""

    threshold: float
    """Least cosine of a stored prompt that is served; above 1 = only the same prompt (after normalisation)."""
    ttl_s: float = 3600.0
    policy: Literal["store", "sliding"] = "store"
    """`store`: an answer lives `ttl_s` after it was stored; `sliding`: after it was last served."""
    capacity: int | None = None
    """Entries held, least recently used out first; None = unlimited."""
    guard: bool = True
    """Pairs that the guard names are not served."""


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """n requests in order of arrival."""

    text: NDArray[np.int32]
    """(n,) number of the request's text in the graph. Texts of different scopes are different texts."""
    time_us: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """Outcome of a replay."""

    source: NDArray[np.int32]
    """(n,) the event whose answer is served; -1 = a miss, whose own answer is stored."""
    edge: NDArray[np.int64]
    """(n,) edge of the graph that the hit took; -1 = a miss or the very same text."""
