"""Who waits, who runs and when each decoding request ends: a list, a list and a binary heap per replica."""

from typing import Any

from costplan.serving.state import State


def enqueue(s: State, a: Any, x: Any) -> None:
    x.replica = a.index
    x.wait_next = -1
    if a.wait_head < 0:
        a.wait_head = x.index
    else:
        s.requests[a.wait_tail].wait_next = x.index
    a.wait_tail = x.index


def link(s: State, a: Any, x: Any) -> None:
    tail = a.run_tail
    x.run_prev, x.run_next = tail, -1
    if tail >= 0:
        s.requests[tail].run_next = x.index
    a.run_tail = x.index
    a.running += 1


def unlink(s: State, a: Any, x: Any) -> None:
    before, after = x.run_prev, x.run_next
    if before >= 0:
        s.requests[before].run_next = after
    if after >= 0:
        s.requests[after].run_prev = before
    else:
        a.run_tail = before
    a.running -= 1


def push_end(s: State, a: Any, step: int, i: int) -> None:
    top = a.places
    place = a.decoding - 1
    while place > 0:
        parent = (place - 1) // 2
        if s.ends[top + parent].step <= step:
            break
        s.ends[top + place].step, s.ends[top + place].request = s.ends[top + parent].step, s.ends[top + parent].request
        place = parent
    s.ends[top + place].step, s.ends[top + place].request = step, i


def remove_end(s: State, a: Any, place: int) -> None:
    """Remove the entry at a place; call it before the request leaves `decoding`."""
    top = a.places
    size = a.decoding - 1
    step, i = s.ends[top + size].step, s.ends[top + size].request
    if place == size:
        return
    while place > 0 and s.ends[top + (place - 1) // 2].step > step:
        parent = (place - 1) // 2
        s.ends[top + place].step, s.ends[top + place].request = s.ends[top + parent].step, s.ends[top + parent].request
        place = parent
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and s.ends[top + child + 1].step < s.ends[top + child].step:
            child += 1
        if s.ends[top + child].step >= step:
            break
        s.ends[top + place].step, s.ends[top + place].request = s.ends[top + child].step, s.ends[top + child].request
        place = child
    s.ends[top + place].step, s.ends[top + place].request = step, i
