"""The paged KV cache of a replica: shared and own blocks, and the prefix cache they leave behind (LRU)."""

from typing import Any

from costplan.serving.state import Machine, State


def blocks_of(m: Machine, tokens: int) -> int:
    return (tokens + m.block_size - 1) // m.block_size


def known_blocks(s: State, a: Any, x: Any) -> int:
    """Leading blocks of a request that the replica's prefix cache holds."""
    base, first, end = a.nodes, x.shared_start, x.shared_end
    place = first
    while place < end and s.nodes[base + s.shared_ids[place]].present:
        place += 1
    return place - first


def hold(m: Machine, s: State, a: Any, x: Any, known: int, own: int, fresh: int) -> None:
    """Give a request its first blocks: known shared ones, its own from before a preemption, and fresh ones."""
    base, first = a.nodes, x.shared_start
    for place in range(first, first + known):
        node = base + s.shared_ids[place]
        if s.nodes[node].users == 0:
            _lru_remove(s, a, node)
            a.idle -= 1
        s.nodes[node].users += 1
    if x.own:
        _lru_remove(s, a, m.shared_nodes + x.index)
        a.idle -= x.own
        a.free += x.own - own
        x.own = 0
    take(m, s, a, fresh)
    x.held, x.held_shared = known + own + fresh, known


def register(m: Machine, s: State, a: Any, x: Any, tokens: int) -> None:
    """Make the request's full shared blocks known to others."""
    if not m.caching:
        return
    base, first = a.nodes, x.shared_start
    end = min(x.shared_end - first, tokens // m.block_size)
    while x.held_shared < end:
        node = base + s.shared_ids[first + x.held_shared]
        if s.nodes[node].present:  # computed twice at the same time: this copy stays the request's own
            break
        s.nodes[node].present, s.nodes[node].users = 1, 1
        x.held_shared += 1


def release(m: Machine, s: State, a: Any, x: Any, stored: int) -> None:
    """Give back the blocks of a request; full ones stay in the prefix cache, the last to be evicted first."""
    held = x.held
    x.held = 0
    if not m.caching:
        a.free += held
        return
    register(m, s, a, x, stored)
    shared = x.held_shared
    own = max(0, stored // m.block_size - shared)
    a.free += held - shared - own
    if own:
        x.own, x.own_start = own, shared
        _lru_append(s, a, m.shared_nodes + x.index)
        a.idle += own
    base, first = a.nodes, x.shared_start
    for place in range(first + shared - 1, first - 1, -1):
        node = base + s.shared_ids[place]
        s.nodes[node].users -= 1
        if s.nodes[node].users == 0:
            _lru_append(s, a, node)
            a.idle += 1
    x.held_shared = 0


def take(m: Machine, s: State, a: Any, blocks: int) -> None:
    """Take free blocks, and evict the longest unused ones when these run out."""
    a.free -= blocks
    while a.free < 0:
        node = a.lru_head
        if node < m.shared_nodes:
            s.nodes[node].present = 0
            a.idle -= 1
            a.free += 1
            _lru_remove(s, a, node)
        else:
            x = s.requests[node - m.shared_nodes]
            evicted = min(x.own, -a.free)
            x.own -= evicted
            a.idle -= evicted
            a.free += evicted
            if x.own == 0:
                _lru_remove(s, a, node)
    used = m.blocks - a.free - a.idle
    a.peak = max(a.peak, used)


def _lru_append(s: State, a: Any, node: int) -> None:
    tail = a.lru_tail
    s.nodes[node].prev, s.nodes[node].next = tail, -1
    if tail >= 0:
        s.nodes[tail].next = node
    else:
        a.lru_head = node
    a.lru_tail = node


def _lru_remove(s: State, a: Any, node: int) -> None:
    before, after = s.nodes[node].prev, s.nodes[node].next
    if before >= 0:
        s.nodes[before].next = after
    else:
        a.lru_head = after
    if after >= 0:
        s.nodes[after].prev = before
    else:
        a.lru_tail = before
