"""What the event loop works on: constants, and records of replicas, requests, blocks and totals that change."""

from typing import Any, NamedTuple

import numpy as np


class Machine(NamedTuple):
    """Constants of every replica; see StepTime and EngineConfig."""

    pair_s: float
    context_s: float
    window_s: float
    window: int
    request_s: float
    frontend_s: float
    frontend_token_s: float
    blocks: int
    block_size: int
    max_seqs: int
    max_tokens: int
    chunked: bool
    """Prompts are cut and computed beside decoding requests; otherwise they go first, whole."""
    caching: bool
    whole_prompt: bool
    watermark: int
    lookahead: int
    """Tokens computed per decoding request and step: 1 + draft tokens."""
    gain: float
    """Tokens emitted per decoding request and step: (1 - a^(k+1)) / (1 - a), Leviathan et al. 2023, eq. 1."""
    growth: int
    """Steps in which a decoding request fills one block."""
    shared_nodes: int
    """Nodes of shared blocks, all replicas together; the nodes of requests' own blocks come after them."""


class Fleet(NamedTuple):
    """How requests reach replicas."""

    replicas: int
    routing: int
    concurrency: int
    """0: open loop."""
    least: int
    """Replicas always on; equal to `replicas` without autoscaling."""
    target: float
    """Requests in flight per replica that autoscaling aims at."""
    cold_start_s: float
    cooldown_s: float


REPLICA = np.dtype(
    [
        # places: where its part of `prompts` and `ends` begins, likewise phases and nodes
        ("index", "i8"), ("places", "i8"), ("phases", "i8"), ("nodes", "i8"),
        # step: steps in which something was decoded, the clock of blocks and ends
        ("clock", "f8"), ("step", "i8"), ("running", "i8"), ("decoding", "i8"), ("prefilling", "i8"), ("load", "i8"),
        # context: KV tokens of the decoding requests together; idle: cached blocks that nobody uses
        ("context", "f8"), ("free", "i8"), ("idle", "i8"), ("lru_head", "i8"), ("lru_tail", "i8"),
        ("wait_head", "i8"), ("wait_tail", "i8"), ("run_tail", "i8"),
        # paused: prompts went first since the last decoding step
        ("paused", "i8"),
        # done: ended at the replica's clock, which may be ahead of the others'
        ("done_head", "i8"), ("done_tail", "i8"),
        ("busy_s", "f8"), ("steps", "i8"), ("tokens", "i8"), ("peak", "i8"),
        ("on", "i8"), ("on_since_s", "f8"), ("off_since_s", "f8"), ("paid_s", "f8"),
    ]
)  # fmt: skip

REQUEST = np.dtype(
    [
        ("index", "i8"), ("sent_s", "f8"), ("input", "i4"), ("output", "i4"),
        ("shared_start", "i8"), ("shared_end", "i8"),
        ("wait_next", "i4"), ("run_prev", "i4"), ("run_next", "i4"), ("replica", "i4"),
        # target: tokens to compute before the next one is emitted (after a preemption: prompt and output so far)
        ("computed", "i4"), ("chunk", "i4"), ("target", "i4"), ("emitted", "i4"),
        # joined: step at which decoding began, -1 before; slack: steps that the last prompt block has room for
        ("joined", "i8"), ("slack", "i4"),
        # held: blocks of the prompt; own: blocks left in the prefix cache that only this request can use again
        ("held", "i4"), ("held_shared", "i4"), ("own", "i4"), ("own_start", "i4"),
        # left: when its last token came, if it was preempted or waits for others' prompts
        ("left_s", "f8"), ("scheduled_s", "f8"), ("first_s", "f8"), ("done_s", "f8"),
        ("cached", "i4"), ("preemptions", "i4"),
    ]
)  # fmt: skip

NODE = np.dtype([("present", "i4"), ("users", "i4"), ("next", "i4"), ("prev", "i4")])
END = np.dtype([("step", "i8"), ("request", "i8")])
TOTALS = np.dtype(
    [
        # sent: requests sent in a closed loop; queue: shared by all replicas
        ("sent", "i8"), ("queue_head", "i8"), ("queue_tail", "i8"),
        # gaps_s: sum of the gaps between tokens; all_wanted_s: when autoscaling last needed every replica
        ("gaps_s", "f8"), ("longest_gap_s", "f8"), ("all_wanted_s", "f8"),
    ]
)  # fmt: skip


class State(NamedTuple):
    """Everything that changes, and the tables that the loop reads."""

    base_s: Any
    """StepTime.base_s."""
    shared_ids: Any
    replicas: Any
    requests: Any
    nodes: Any
    """Blocks in the prefix cache: [replica, shared block], then one per request for its own."""
    prompts: Any
    """[replica, place] requests whose prompt is being computed, in order of admission."""
    ends: Any
    """[replica, place] a heap of the steps at which decoding requests end."""
    phases: Any
    """[replica, step % growth] decoding requests that need a block at such a step."""
    itl: Any
    totals: Any
