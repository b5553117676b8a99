"""Whether the client kept up with what it was asked to send, and what it needs for that; knows no requests."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.engine import usable_cores
from costplan.replay.script import Load, Script
from costplan.replay.sender import Played
from costplan.results.measurement import ClientFacts
from costplan.units import plural

REQUEST_CPU_S, CHUNK_CPU_S = 100e-6, 8e-6
"""Of one core, for a request and for a chunk of its stream (python -m benchmarks.replay, 2.4 GHz)."""
BUSY_SHARE = 0.6
"""Of a core: above it, queues in the client grow longer than what they delay."""
STREAM_TOK_S = 100.0
"""A fast stream: what each of a closed loop may bring."""
MOST_CONNECTIONS = 1024
FIRST_TOKEN_S, TOKEN_S = 1.0, 0.03
"""Assumed of a server that nothing is known of yet, for how many requests will be in flight at once."""
UNKNOWN_TOKENS = 128
LATE_S, LATE_SHARE = 0.03, 0.1
"""Late for one request in a hundred: more than 30 ms, and more than a tenth of the median time to the first token:
latency from the intended moment would be wrong by that."""
FULL_SHARE = 0.9
"""Of a core: nothing is left for what comes at the same time."""
RATE_WINDOW_S = 10.0


def processes_for(script: Script, load: Load) -> int:
    """As many as keep each below BUSY_SHARE of a core, by what the script expects; not more than there are cores."""
    tokens = answer_tokens(script)
    mean = float(tokens.mean()) if len(tokens) else 1.0
    if load.concurrency:
        requests_s = load.concurrency * STREAM_TOK_S / mean
    else:
        ends = np.searchsorted(script.due_s, script.due_s + RATE_WINDOW_S, side="right")
        requests_s = int((ends - np.arange(script.requests)).max(initial=0)) / RATE_WINDOW_S
    share = requests_s * (REQUEST_CPU_S + mean * CHUNK_CPU_S)
    return max(1, min(math.ceil(share / BUSY_SHARE), usable_cores()))


def connections_for(script: Script, load: Load) -> int:
    """The most requests that will be in flight at once, as far as anyone can say before."""
    if load.concurrency:
        return min(load.concurrency, script.requests, MOST_CONNECTIONS)
    ends = np.sort(script.due_s + FIRST_TOKEN_S + TOKEN_S * answer_tokens(script))
    gone = np.searchsorted(ends, script.due_s, side="right")
    return min(int((np.arange(1, script.requests + 1) - gone).max(initial=0)), MOST_CONNECTIONS)


def answer_tokens(script: Script) -> NDArray[np.float64]:
    return np.where(script.output_tokens > 0, script.output_tokens, UNKNOWN_TOKENS).astype(np.float64)


def client_facts(played: Sequence[Played], started_at: str) -> ClientFacts:
    """All processes together: latenesses as one, the share of the busiest."""
    lateness = np.concatenate([np.asarray(one.lateness_s) for one in played])
    connected = np.concatenate([np.asarray(one.connected_s) for one in played])
    lag = np.concatenate([np.asarray(one.lag_s) for one in played])
    ttft = np.concatenate([np.asarray(one.ttft_s) for one in played])
    cpu_share, wall_s = max(one.cpu_share for one in played), max(one.wall_s for one in played)
    late_s, lag_s = _quantile(connected, 0.99), _quantile(lag, 0.99)
    limit_s = max(LATE_S, LATE_SHARE * (_quantile(ttft, 0.5) or 0.0))
    reasons: list[str] = []
    if late_s is not None and late_s > limit_s:
        reasons.append(
            f"one request in a hundred left {_ms(late_s)} or more after it was due (limit {_ms(limit_s)}): "
            "send less, or from a machine with more free cores"
        )
    if lag_s is not None and lag_s > limit_s:
        reasons.append(f"timers of the client fired {_ms(lag_s)} late (p99; limit {_ms(limit_s)}): its machine is busy")
    if cpu_share > FULL_SHARE and wall_s > 1.0:
        reasons.append(f"the client used {cpu_share:.0%} of a core: the server may be faster than it could see")
    if sockets := sum(one.out_of_sockets for one in played):
        reasons.append(f"{plural(sockets, 'request')} found no free socket: raise the limit on open files (ulimit -n)")
    return ClientFacts(
        lateness_p50_s=_quantile(lateness, 0.5), lateness_p99_s=_quantile(lateness, 0.99),
        lateness_max_s=_quantile(lateness, 1.0),
        loop_lag_p99_s=lag_s, cpu_share=round(cpu_share, 4), processes=len(played),
        connections=sum(one.connections for one in played), opened_late=sum(one.opened_late for one in played),
        peak_in_flight=sum(one.peak_in_flight for one in played), started_at=started_at, wall_s=round(wall_s, 6),
        valid=not reasons, reasons=reasons,
    )  # fmt: skip


def _quantile(values: NDArray[Any], share: float) -> float | None:
    return round(float(np.quantile(values, share)), 6) if len(values) else None


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f} ms"
