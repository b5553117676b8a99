"""Which replica gets a request, and how many replicas are on; knows nothing of steps. Compiled like `loop`."""

from math import ceil
from typing import Any

from costplan.serving.blocks import known_blocks
from costplan.serving.queues import enqueue
from costplan.serving.state import Fleet, Machine, State

ROUND_ROBIN, LEAST_LOADED, PREFIX_AFFINITY, SHARED_QUEUE = range(4)
_AFFINITY_SLACK = 4
"""A replica that knows the prefix is taken while it has at most twice the least load plus this many requests."""


def route(m: Machine, f: Fleet, s: State, x: Any, now: float) -> None:
    least, chosen, t = 1 << 60, -1, s.totals[0]
    for r in range(f.replicas):
        a = s.replicas[r]
        if a.on and a.on_since_s + (f.cold_start_s if r >= f.least else 0.0) <= now and a.load < least:
            least, chosen = a.load, r
    if f.routing == SHARED_QUEUE and least >= m.max_seqs:
        x.wait_next = -1
        if t.queue_head < 0:
            t.queue_head = x.index
        else:
            s.requests[t.queue_tail].wait_next = x.index
        t.queue_tail = x.index
        return
    if f.routing == ROUND_ROBIN and f.least == f.replicas:
        chosen = x.index % f.replicas
    elif f.routing == PREFIX_AFFINITY:
        best = 0
        for r in range(f.replicas):
            a = s.replicas[r]
            if a.on and a.load <= 2 * least + _AFFINITY_SLACK:
                known = known_blocks(s, a, x)
                if known > best:
                    best, chosen = known, r
    a = s.replicas[chosen]
    enqueue(s, a, x)
    a.load += 1
    if a.running == 0 and a.wait_head == x.index:
        a.clock = max(a.clock, now)


def scale(f: Fleet, s: State, now: float) -> None:
    """Switch replicas on and off so that each has about `target` requests in flight."""
    flying, on, t = 1, 0, s.totals[0]
    for r in range(f.replicas):
        flying += s.replicas[r].load
        on += s.replicas[r].on
    wanted = min(f.replicas, max(f.least, ceil(flying / f.target)))
    for r in range(f.least, f.replicas):
        a = s.replicas[r]
        if wanted > on and not a.on:
            if a.off_since_s > a.on_since_s:
                a.paid_s += max(a.off_since_s, min(now, a.clock)) - a.on_since_s
            a.on, a.on_since_s = 1, now
            on += 1
    if wanted == on:
        t.all_wanted_s = now
    elif wanted < on and now - t.all_wanted_s >= f.cooldown_s:
        for r in range(f.replicas - 1, f.least - 1, -1):
            a = s.replicas[r]
            if a.on:
                a.on, a.off_since_s = 0, now
                t.all_wanted_s = now
                break


def pay_to_the_end(f: Fleet, s: State) -> None:
    """Replica-seconds up to the last token; a replica switched off still ends its work."""
    end = 0.0
    for r in range(f.replicas):
        end = max(end, s.replicas[r].clock)
    for r in range(f.replicas):
        a = s.replicas[r]
        off = end if a.on else max(a.off_since_s, min(end, a.clock))
        a.paid_s += max(0.0, off - a.on_since_s)


def send_next(m: Machine, f: Fleet, s: State, now: float) -> None:
    """Closed loop: the next request goes out."""
    t = s.totals[0]
    if t.sent < len(s.requests):
        x = s.requests[t.sent]
        t.sent += 1
        x.sent_s = now
        route(m, f, s, x, now + m.frontend_s)
