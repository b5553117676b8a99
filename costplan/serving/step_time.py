"""Seconds that one engine step takes, as the few coefficients the event loop needs; knows nothing of queues."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepTime:
    """Time of one step = base_s[T] + pair_s·A + context_token_s·C + window_token_s·W + request_s·N.

    T: tokens processed in the step (prefill chunks + one, or 1 + k with speculation, per decoding request).
    A: query tokens x context tokens of the prefill chunks. C: KV tokens that the decoding requests read in layers with
    full attention. W: the same in sliding-window layers, at most `window` for each request. N: requests in the step.
    """

    base_s: NDArray[np.float64]
    """(max tokens in a step + 1,): weights, matrix products, all-reduce and fixed overheads; base_s[0] is not used."""
    pair_s: float
    context_token_s: float
    window_token_s: float = 0.0
    window: int = 0
    """Tokens a sliding-window layer looks back; 0 = no such layers."""
    request_s: float = 0.0
    frontend_s: float = 0.0
    """Added to every TTFT outside the engine: HTTP, tokenisation, queue hand-over."""
    frontend_token_s: float = 0.0
    """Added to the end of a request per output token: detokenisation and streaming."""
    basis: str = "estimated"
    """`measured` (a replay), `silicon` (operator tables) or `estimated` (roofline with fitted efficiencies)."""
