"""What removed tokens are worth: every token at the price that was paid for it, less what a broken cache costs.

saved = fresh x input rate + reads x cache-read rate + writes x cache-write rate - lost. Lost are the reads that stay in
the prompt but are no longer shared with the request before (billed as cache writes, once), or all that are left where
the prompt falls below the provider's minimum (billed as input).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.compression.saved import RUNGS
from costplan.levers.prompt_cache import policies_of
from costplan.prices import RateTable
from costplan.units import NANOS_PER_USD

Floats = NDArray[np.float64]
_REWRITES = np.array([rung in ("tool_results", "lossy") for rung in RUNGS])
"""Stages at which a prompt may differ from what the request before sent."""


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """By request and rung, each on top of those before it."""

    tokens: Floats
    """(m, 5) tokens taken out, of the calls that a row stands for."""
    net: Floats
    """(m, 5) nano-dollars."""
    lost: Floats
    """(m, 5) nano-dollars that `net` has been lowered by."""


def worth(columns: dict[str, NDArray[Any]], rates: RateTable, parts: Floats, lost_reads: Floats) -> Worth:
    """Worth of what m requests lose.

    Args:
        columns: of the requests, (m,) each.
        rates: the price table that `call_rate_row` and `price_key` point into.
        parts: (m, 5, 3) tokens by rung and by fresh, read, write.
        lost_reads: (m,) cache reads that clearing old tool results leaves unshared.
    """
    rate = np.vstack([rates.rates[:, :3], np.zeros((1, 3))])[columns["call_rate_row"]]  # row -1: the zeros
    rate = rate * (columns["weight"] * columns["priced"] * NANOS_PER_USD)[:, None]
    tokens = parts.sum(axis=2)
    reads_left = np.maximum(0.0, columns["cache_read_tokens"][:, None] - np.cumsum(parts[:, :, 1], axis=1))
    left = columns["input_tokens"][:, None] - np.cumsum(tokens, axis=1)
    under = (left < policies_of(rates).min_tokens[columns["price_key"]][:, None]) & (tokens.cumsum(axis=1) > 0)
    input_rate, read_rate, write_rate = rate.T[:, :, None]
    rewritten = np.minimum(lost_reads[:, None], reads_left) * _REWRITES * (write_rate - read_rate)
    lost = np.diff(
        np.maximum(rewritten, np.where(under, reads_left * (input_rate - read_rate), 0.0)), axis=1, prepend=0.0
    )  # fmt: skip
    return Worth(tokens * columns["weight"][:, None], (parts * rate[:, None, :]).sum(axis=2) - lost, lost)
