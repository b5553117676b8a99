"""The steps of agents and conversations, written where those of one task meet; what becomes of them is not known here.

A task is a session, or a trace where the log names no sessions.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.costing import CostJob, Rows, bucket_of
from costplan.engine import Ragged, read_batch, split_by, take, write_batches
from costplan.trace import TextState

_TOKENS = (
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens",
    "reasoning_tokens", "tool_tokens",
)  # fmt: skip


def write_steps(rows: Rows, job: CostJob) -> None:
    """Priced steps of tasks, in the bucket file `steps-`."""
    session: NDArray[np.uint64] = rows["session"]
    task = np.where(session != 0, session, rows["trace_key"])
    mine = np.flatnonzero(rows["priced"] & (task != 0) & rows["has_time"])
    full = rows["text_state"] == TextState.FULL
    chars = sum(rows[f"{name}_chars"] for name in ("system", "tools", "history", "tool_result", "user"))
    rows = rows | {
        "task": task,
        "tool_tokens": np.where(full, rows["input_tokens"] * rows["tool_result_chars"] // np.maximum(chars, 1), 0),
        "has_context": ~full | (rows["history_chars"] + rows["tool_result_chars"] > 0),
    }
    names = (
        "task",
        "time_us",
        "gid",
        "site",
        "price_key",
        "rate_row",
        "weight",
        "has_context",
        "tools_key",
        "tool_set",
    )
    steps: dict[str, Any] = {name: rows[name] for name in (*names, "cost_price_date")}
    steps |= {name: rows[name].astype(np.int32) for name in _TOKENS}
    steps = take(steps, mine)
    actions: Ragged = read_batch(job.path, 0, ("actions",))["actions"]
    steps["actions"] = actions.take(rows["gid"][mine] - job.first_gid)
    write_batches(job.file("steps"), split_by(bucket_of(steps["task"], job.n_buckets), job.n_buckets, steps))
