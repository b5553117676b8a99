"""The gaps between tokens (ITL) of a run: a histogram of bins that grow by 1 %, the exact sum and the maximum."""

from math import ceil, log
from typing import Any

from costplan.serving.state import State

ITL_FLOOR_S, ITL_RATIO, ITL_BINS = 1e-5, 1.01, 1852
"""Bin i holds gaps from ITL_FLOOR_S * ITL_RATIO**i on: 10 us to 1,000 s."""
_LOG_RATIO = log(ITL_RATIO)


def count_gaps(s: State, first: float, slope: float, steps: int, decoding: int) -> None:
    """Count the gaps between tokens of `steps` steps that last first, first + slope, ..."""
    if steps == 0:
        return
    last = first + slope * (steps - 1)
    t = s.totals[0]
    t.gaps_s += 0.5 * (first + last) * steps * decoding
    t.longest_gap_s = max(t.longest_gap_s, last)
    done = 0
    while done < steps:
        now = first + slope * done
        place = min(ITL_BINS - 1, max(0, int(log(max(now, ITL_FLOOR_S) / ITL_FLOOR_S) / _LOG_RATIO)))
        count = steps - done
        if slope > 0.0:
            edge = ITL_FLOOR_S * ITL_RATIO ** (place + 1)
            count = min(count, max(1, ceil((edge - now) / slope)))
        s.itl[place] += count * decoding
        done += count


def pause(s: State, a: Any) -> None:
    """Prompts go first: each decoding request keeps the time of its last token."""
    if a.paused:
        return
    a.paused, i = 1, a.run_tail
    while i >= 0:
        x = s.requests[i]
        if x.joined >= 0:
            x.left_s = a.clock
        i = x.run_prev


def count_paused(s: State, a: Any, end: float) -> int:
    """Count the gaps that the first decoding step after a pause closes at `end`: one step."""
    a.paused, i = 0, a.run_tail
    while i >= 0:
        x = s.requests[i]
        if x.joined >= 0:
            count_gaps(s, end - x.left_s, 0.0, 1, 1)
        i = x.run_prev
    return 1
