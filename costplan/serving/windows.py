"""What sliding-window layers read, request by request: their KV stops growing once the window is full."""

from math import ceil
from typing import Any

from costplan.serving.state import Machine, State


def windowed(m: Machine, s: State, a: Any, ahead: float) -> float:
    """KV tokens that sliding-window layers read `ahead` steps from now."""
    if m.window_s == 0.0:
        return 0.0
    total, i = 0.0, a.run_tail
    while i >= 0:
        x = s.requests[i]
        if x.joined >= 0:
            total += min(float(m.window), x.target + m.gain * (a.step - x.joined + ahead))
        i = x.run_prev
    return total


def steps_to_window(m: Machine, s: State, a: Any) -> int:
    """Steps until the next decoding request fills its window."""
    nearest, i = 1 << 60, a.run_tail
    while i >= 0:
        x = s.requests[i]
        if x.joined >= 0:
            missing = m.window - x.target - m.gain * (a.step - x.joined)
            if missing > 0.0:
                nearest = min(nearest, ceil(missing / m.gain))
        i = x.run_prev
    return nearest
