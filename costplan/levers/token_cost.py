"""What the tokens of some rows cost under a use of the provider's cache; who uses it how is not known here."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.costing import load_rates
from costplan.levers.prompt_cache import Reads
from costplan.levers.spill import PRICED
from costplan.units import NANOS_PER_USD

Ints = NDArray[np.int64]


class Money:
    """Rates of a bucket's rows and the costs they give under a use of the caches; nano-dollars."""

    def __init__(self, rows: dict[str, Any], rates_file: Path) -> None:
        table = load_rates(rates_file)
        rates = np.vstack([table.rates, np.zeros((1, table.rates.shape[1]))])
        self.rows = rows
        self.rate = rates[rows["rate_row"]]
        self.batch_rate = rates[rows["batch_rate_row"]]
        self.scale = np.where((rows["kind"] & PRICED) != 0, rows["weight"], 0.0) * NANOS_PER_USD

    def logged(self, rate: NDArray[np.float64]) -> Ints:
        """Cost of all rows with the cached tokens that the log shows."""
        rows = self.rows
        return self.cost(rows["cache_read_tokens"], rows["cache_write_tokens"], rows["cache_write_1h_tokens"], rate)

    def cost(self, read: Ints, write: Ints, write_1h: Ints, rate: NDArray[np.float64]) -> Ints:
        """Cost of all rows for these cached tokens at these rates."""
        rows = self.rows
        parts = (
            (rows["input_tokens"] - read - write) * rate[:, 0],
            read * rate[:, 1],
            (write - write_1h) * rate[:, 2] + write_1h * rate[:, 3],
            (rows["output_tokens"] - rows["reasoning_tokens"]) * rate[:, 4] + rows["reasoning_tokens"] * rate[:, 5],
        )
        # rounded part by part, as the books are, so that the empty set costs what the books say
        cost: Ints = sum((np.rint(part * self.scale).astype(np.int64) for part in parts), start=rows["fee"])
        return cost

    def interactive(self, reads: Reads, simulated_all: Ints, mode: NDArray[np.int8]) -> tuple[Ints, Ints, Ints]:
        """(cost as logged, cost with the prompt-cache lever, cost at batch prices) on one stream.

        What the log read from the provider's cache shrinks with the stream: by the ratio of simulated reads.
        """
        rows = self.rows
        logged, zero = rows["cache_read_tokens"], np.zeros(len(mode), dtype=np.int64)
        simulated = np.where(mode == 2, reads.whole_read, reads.automatic)
        kept = np.where(simulated_all > 0, np.minimum(simulated / np.maximum(simulated_all, 1), 1.0), 1.0)
        still = np.floor(logged * kept).astype(np.int64)
        write, write_1h = rows["cache_write_tokens"], rows["cache_write_1h_tokens"]
        as_logged = self.cost(still, write, write_1h, self.rate)
        automatic_read = np.minimum(np.maximum(still, reads.automatic), rows["input_tokens"] - write)
        automatic = self.cost(automatic_read, write, write_1h, self.rate)
        static = self.cost(reads.static_read, reads.static_write, zero, self.rate)
        whole = self.cost(reads.whole_read, reads.whole_write, zero, self.rate)
        improved = np.where(mode == 2, self._cheapest([as_logged, static, whole]), np.minimum(automatic, as_logged))
        # a batch keeps the cache use that the log shows; its price says what a cached token costs there
        return as_logged, improved, self.logged(self.batch_rate)

    def _cheapest(self, options: list[Ints]) -> Ints:
        """Where to put the marks is one decision per prefix family (same first block), not per request."""
        root = np.unique(self.rows["root_key"], return_inverse=True)[1]
        totals = np.stack([np.bincount(root, weights=option) for option in options])
        choice = totals.argmin(axis=0)[root]
        return np.choose(choice, options)
