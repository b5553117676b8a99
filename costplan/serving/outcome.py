"""What a simulated run leaves behind, request by request; how it is summed up for people is not known here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costplan.serving.gaps import ITL_BINS, ITL_FLOOR_S, ITL_RATIO

ITL_EDGES_S: NDArray[np.float64] = np.array([ITL_FLOOR_S * ITL_RATIO**i for i in range(ITL_BINS + 1)], dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """Times in seconds on the workload's clock, all at the client: the frontend's share is included."""

    arrival_s: NDArray[np.float64]
    """(n,) when each request was sent (closed loop: when its turn came)."""
    scheduled_s: NDArray[np.float64]
    """(n,) start of the step that first worked on it."""
    first_token_s: NDArray[np.float64]
    done_s: NDArray[np.float64]
    cached_tokens: NDArray[np.int32]
    """(n,) prompt tokens found in the prefix cache at first admission."""
    preemptions: NDArray[np.int32]
    replica: NDArray[np.int32]
    itl_edges_s: NDArray[np.float64]
    itl_counts: NDArray[np.int64]
    """Histogram of the gaps between tokens; counts[i] lies between edges[i] and edges[i + 1]."""
    itl_sum_s: float
    itl_max_s: float
    busy_s: NDArray[np.float64]
    """(replicas,) time spent in steps."""
    steps: NDArray[np.int64]
    step_tokens: NDArray[np.int64]
    """(replicas,) tokens processed, prefill and decode together."""
    kv_peak_blocks: NDArray[np.int64]
    """(replicas,) most blocks held by running requests at once."""
    replica_s: float
    """Replica-seconds paid for: replicas x duration, or less with autoscaling."""
    frontend_s: float = 0.0
    """Of the time before the first step, what passes outside the scheduler: HTTP, tokenisation, hand-over."""
