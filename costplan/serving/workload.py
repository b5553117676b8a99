"""Requests as the engine sees them: arrivals, lengths, shared prompt blocks; knows no clock but its own."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workload:
    """n requests in order of arrival.

    A chain of block hashes shared with another request is a prefix of the request's blocks, so only that prefix is
    listed; the blocks behind it are the request's own.
    """

    arrival_s: NDArray[np.float64]
    """(n,) not decreasing; ignored in a closed loop."""
    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    """(n,) both at least 1."""
    shared_offsets: NDArray[np.int64]
    """(n + 1,): request i starts with the blocks shared_ids[shared_offsets[i]:shared_offsets[i + 1]]."""
    shared_ids: NDArray[np.int32]
    """Dense block numbers from 0, block_size tokens each; they may reach into the generated tokens (a next turn)."""
    block_size: int = 16
    concurrency: int = 0
    """0 = open loop (arrivals count); N = closed loop: the next request goes out when one of N in flight is done."""
    open_ended: bool = False
    """A rate without end: above capacity there is no latency to report, only a sustainable rate."""

    @property
    def requests(self) -> int:
        return len(self.input_tokens)
