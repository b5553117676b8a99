"""The event loop of a continuous-batching engine, one replica or many; plain Python that numba compiles as it is.

Policy of vLLM v1: every step serves the running requests first, in order of admission (a decoding one gets a token, an
unfinished prompt the next chunk), then admits waiting ones first come, first served, until one does not fit; none is
admitted in a step that preempted. When a block is missing, the latest admitted request gives up its blocks, goes to
the head of the queue and is computed again. Freed blocks stay in the prefix cache until they are needed (LRU).
Without chunked prefill (vLLM V0) prompts go first, whole and in steps of their own, while decoding ones wait.

Between two events (an arrival, an end, a full memory) all decoding steps are alike but for the context that grows by a
token per request, so they are taken in one go: their times form an arithmetic series. Cost is per event, not token.

Only numbers, indices and named fields are used: the same code runs compiled on arrays of records and, as it is, on
lists of plain objects (see `simulator`). Throughout, m: machine, f: fleet, s: state, a: a replica, x: a request.
"""

from math import ceil, sqrt
from typing import Any

from costplan.serving.blocks import blocks_of, hold, known_blocks, register, release, take
from costplan.serving.gaps import count_gaps, count_paused, pause
from costplan.serving.queues import enqueue, link, push_end, remove_end, unlink
from costplan.serving.routes import ROUND_ROBIN, pay_to_the_end, route, scale, send_next
from costplan.serving.state import Fleet, Machine, State
from costplan.serving.windows import steps_to_window, windowed

_NEVER = 1e300


def run(m: Machine, f: Fleet, s: State) -> None:
    """Serve all requests to the end."""
    for _ in range(min(f.concurrency, len(s.requests))):
        send_next(m, f, s, 0.0)
    if not f.concurrency:
        fixed = f.routing == ROUND_ROBIN and f.least == f.replicas
        for i in range(len(s.requests)):
            x = s.requests[i]
            now, r = x.sent_s + m.frontend_s, i % f.replicas
            _serve(m, f, s, r if fixed else 0, r + 1 if fixed else f.replicas, now)
            if f.least < f.replicas:
                scale(f, s, now)
            route(m, f, s, x, now)
        s.totals[0].sent = len(s.requests)
    _serve(m, f, s, 0, f.replicas, _NEVER)
    pay_to_the_end(f, s)


def _serve(m: Machine, f: Fleet, s: State, first: int, last: int, until: float) -> None:
    """Let the replicas first..last-1 work until their clocks reach `until`, the one furthest behind always next."""
    while True:
        behind, clock, second = -1, until, until
        for r in range(first, last):
            a = s.replicas[r]
            if a.running or a.wait_head >= 0 or a.done_head >= 0:
                if a.clock < clock:
                    behind, clock, second = r, a.clock, clock
                else:
                    second = min(second, a.clock)
        if behind < 0:
            break
        a = s.replicas[behind]
        if a.done_head >= 0:
            _after_ends(m, f, s, a)
        else:
            _move(m, s, a, second)


def _after_ends(m: Machine, f: Fleet, s: State, a: Any) -> None:
    """The clock has reached ends: others may come, from a closed loop and from the queue that all replicas share."""
    t = s.totals[0]
    while a.done_head >= 0:
        x = s.requests[a.done_head]
        a.done_head = x.wait_next
        a.load -= 1
        if t.queue_head >= 0:
            following = s.requests[t.queue_head]
            t.queue_head = following.wait_next
            enqueue(s, a, following)
            a.load += 1
        if f.concurrency:
            send_next(m, f, s, x.done_s)


# --- steps ------------------------------------------------------------------------------------------------------------


def _move(m: Machine, s: State, a: Any, until: float) -> None:
    """One step with prompts in it, or decoding steps up to the next event, or the wait for the next request."""
    if a.running == 0:
        visible = s.requests[a.wait_head].sent_s + m.frontend_s
        if visible > a.clock:
            a.clock = visible
            return
    preempted = _room_for_decoding(m, s, a)
    budget = max(0, m.max_tokens - a.decoding * m.lookahead) if m.chunked else m.max_tokens
    left, stopped = _next_chunks(m, s, a, budget)
    if not (preempted or stopped):
        left = _admit_waiting(m, s, a, left)
        head = a.wait_head
        if head >= 0 and s.requests[head].sent_s + m.frontend_s > a.clock:
            until = min(until, s.requests[head].sent_s + m.frontend_s)
    if a.prefilling:
        _mixed_step(m, s, a, budget - left)
    else:
        _decode_steps(m, s, a, 1 if preempted else _most_steps(m, s, a), until)


def _mixed_step(m: Machine, s: State, a: Any, prompt_tokens: int) -> None:
    """One step that computes prompt chunks, beside the decoding requests or while they wait."""
    decoding, places = a.decoding if m.chunked else 0, a.places
    if decoding:
        take(m, s, a, s.phases[a.phases + (a.step + 1) % m.growth])
    elif a.decoding:
        pause(s, a)
    pairs, working = 0.0, 0
    for place in range(places, places + a.prefilling):
        x = s.requests[s.prompts[place]]
        if x.chunk:
            # query j of a chunk attends to the tokens before the chunk and to j of its own
            pairs += x.chunk * (x.computed + 0.5 * (x.chunk + 1))
            working += 1
    a.context += m.gain * decoding
    tokens = prompt_tokens + decoding * m.lookahead
    duration = s.base_s[min(tokens, len(s.base_s) - 1)] + m.pair_s * pairs + m.request_s * (decoding + working)
    if decoding:
        duration += m.context_s * a.context + m.window_s * windowed(m, s, a, 1.0)
    _tick(a, duration, 1, tokens)
    if decoding:
        count_gaps(s, duration, 0.0, 1, decoding)
        a.step += 1
        _end_finished(m, s, a)
    finished = 0
    for place in range(places, places + a.prefilling):
        x = s.requests[s.prompts[place]]
        x.computed += x.chunk
        if x.computed < x.target:
            break
        finished += 1
    for place in range(places, places + finished):
        _emit_first(m, s, a, s.requests[s.prompts[place]])
    a.prefilling -= finished
    for place in range(places, places + a.prefilling):
        s.prompts[place] = s.prompts[place + finished]


def _decode_steps(m: Machine, s: State, a: Any, most: int, until: float) -> None:
    """Up to `most` decoding steps, ending with the first that reaches `until`."""
    decoding = a.decoding
    each = s.base_s[min(decoding * m.lookahead, len(s.base_s) - 1)] + m.request_s * decoding
    first = each + m.context_s * (a.context + m.gain * decoding) + m.window_s * windowed(m, s, a, 1.0)
    slope = m.context_s * m.gain * decoding
    if m.window_s > 0.0 and most > 1:
        most = min(most, max(1, steps_to_window(m, s, a)))
        slope += m.window_s * (windowed(m, s, a, 2.0) - windowed(m, s, a, 1.0))
    steps, room = most, until - a.clock
    if room < steps * first + 0.5 * slope * steps * (steps - 1):
        # steps*first + slope*steps*(steps-1)/2 = room, solved for steps
        b = first - 0.5 * slope
        guess = room / b if slope <= 1e-9 * b else (sqrt(b * b + 2.0 * slope * room) - b) / slope
        steps = max(1, min(steps, ceil(guess)))
    take(m, s, a, _blocks_for(m, s, a, steps))
    counted = count_paused(s, a, a.clock + first) if a.paused else 0
    _tick(a, steps * first + 0.5 * slope * steps * (steps - 1), steps, steps * decoding * m.lookahead)
    count_gaps(s, first + slope * counted, slope, steps - counted, decoding)
    a.context += m.gain * decoding * steps
    a.step += steps
    _end_finished(m, s, a)


def _tick(a: Any, duration: float, steps: int, tokens: int) -> None:
    a.clock += duration
    a.busy_s += duration
    a.steps += steps
    a.tokens += tokens


# --- the life of a request --------------------------------------------------------------------------------------------


def _next_chunks(m: Machine, s: State, a: Any, budget: int) -> "tuple[int, bool]":
    """Chunks of the prompts under way; (budget left, whether one was preempted)."""
    place, places, stopped = 0, a.places, False
    while place < a.prefilling:
        x = s.requests[s.prompts[places + place]]
        chunk = min(budget, x.target - x.computed)
        blocks = blocks_of(m, x.computed + chunk) - x.held
        decode_blocks = s.phases[a.phases + (a.step + 1) % m.growth]
        while a.free + a.idle - decode_blocks < blocks:
            victim = a.run_tail
            _preempt(m, s, a, s.requests[victim])
            stopped = True
            if victim == x.index:
                return budget, True
            decode_blocks = s.phases[a.phases + (a.step + 1) % m.growth]
        x.chunk = chunk
        budget -= chunk
        take(m, s, a, blocks)
        x.held += blocks
        register(m, s, a, x, x.computed + chunk)
        place += 1
    return budget, stopped


def _admit_waiting(m: Machine, s: State, a: Any, budget: int) -> int:
    """Admit from the head of the queue; the budget left."""
    while budget > 0 and a.running < m.max_seqs:
        if a.wait_head < 0:
            break
        x = s.requests[a.wait_head]
        if x.sent_s + m.frontend_s > a.clock:
            break
        chunk = _admit(m, s, a, x, budget)
        if chunk == 0:
            break
        budget -= chunk
    return budget


def _admit(m: Machine, s: State, a: Any, x: Any, budget: int) -> int:
    """Start the request at the head of the queue if its blocks fit; the tokens of its first chunk, 0 if they do not."""
    limit = (x.target - 1) // m.block_size if m.caching else 0  # the last token is always computed
    known = min(limit, known_blocks(s, a, x))
    base, first = a.nodes, x.shared_start
    idle = 0
    for place in range(first, first + known):
        idle += s.nodes[base + s.shared_ids[place]].users == 0
    own = min(x.own, limit - known) if x.own and x.own_start == known else 0
    hit = (known + own) * m.block_size
    chunk = min(budget, x.target - hit)
    if not m.chunked and budget < min(m.max_tokens, x.target - hit):
        return 0  # only a prompt longer than a whole step is cut
    blocks = blocks_of(m, hit + chunk) - known - own
    wanted = blocks_of(m, x.target) - known - own if m.whole_prompt else blocks
    decode_blocks = s.phases[a.phases + (a.step + 1) % m.growth]
    if wanted + m.watermark > a.free + a.idle - decode_blocks - idle - own:
        return 0
    hold(m, s, a, x, known, own, blocks)
    register(m, s, a, x, hit + chunk)
    a.wait_head = x.wait_next
    x.computed, x.chunk = hit, chunk
    if x.scheduled_s < 0.0:
        x.scheduled_s, x.cached = a.clock, hit
    s.prompts[a.places + a.prefilling] = x.index
    a.prefilling += 1
    link(s, a, x)
    return chunk


def _emit_first(m: Machine, s: State, a: Any, x: Any) -> None:
    """The step that ends the prompt emits a token; then decoding begins."""
    now = a.clock
    x.emitted += 1
    if x.emitted == 1:
        x.first_s = now
    else:
        count_gaps(s, now - x.left_s, 0.0, 1, 1)
    x.left_s = now
    if x.emitted >= x.output:
        _finish(m, s, a, x, x.target)
        return
    x.joined = a.step
    room = x.held * m.block_size - x.target
    x.slack = min(m.growth - 1, int(room / m.gain))
    s.phases[a.phases + (x.joined + x.slack + 1) % m.growth] += 1
    a.decoding += 1
    a.context += x.target
    push_end(s, a, a.step + ceil((x.output - x.emitted) / m.gain), x.index)


def _end_finished(m: Machine, s: State, a: Any) -> None:
    top = a.places
    while a.decoding and s.ends[top].step <= a.step:
        x = s.requests[s.ends[top].request]
        remove_end(s, a, 0)
        stored = _leave_decoding(m, s, a, x)
        _finish(m, s, a, x, stored)


def _leave_decoding(m: Machine, s: State, a: Any, x: Any) -> int:
    """Take a request out of the decoding ones (the heap apart); the tokens its blocks hold."""
    steps = a.step - x.joined
    s.phases[a.phases + (x.joined + x.slack + 1) % m.growth] -= 1
    a.decoding -= 1
    a.context -= x.target + m.gain * steps
    if a.decoding == 0:
        a.context = 0.0  # no rounding left over from fractional gains
    if steps > x.slack:
        x.held += ceil((steps - x.slack) / m.growth)
    x.emitted += int(m.gain * steps)
    x.joined = -1
    return min(x.target + int(m.gain * steps), x.held * m.block_size)


def _finish(m: Machine, s: State, a: Any, x: Any, stored: int) -> None:
    x.done_s = a.clock + m.frontend_token_s * x.output
    unlink(s, a, x)
    release(m, s, a, x, stored)
    x.wait_next = -1
    if a.done_head < 0:
        a.done_head = x.index
    else:
        s.requests[a.done_tail].wait_next = x.index
    a.done_tail = x.index


def _preempt(m: Machine, s: State, a: Any, x: Any) -> None:
    """Free the blocks of a running request and put it at the head of the queue."""
    if x.joined >= 0:
        top = a.places
        for place in range(a.decoding):
            if s.ends[top + place].request == x.index:
                remove_end(s, a, place)
                break
        stored = _leave_decoding(m, s, a, x)
        x.target = x.input + x.emitted
        if not a.paused:
            x.left_s = a.clock
    else:
        stored = x.computed
        a.prefilling -= 1  # the latest admitted is the last of those under way
    x.chunk = 0
    x.preemptions += 1
    unlink(s, a, x)
    release(m, s, a, x, stored)
    x.wait_next = a.wait_head
    if a.wait_head < 0:
        a.wait_tail = x.index
    a.wait_head = x.index


def _room_for_decoding(m: Machine, s: State, a: Any) -> bool:
    """Preempt until the next step's decoding fits; whether anything was preempted."""
    preempted = False
    while a.free + a.idle < s.phases[a.phases + (a.step + 1) % m.growth]:
        _preempt(m, s, a, s.requests[a.run_tail])
        preempted = True
    return preempted


def _blocks_for(m: Machine, s: State, a: Any, steps: int) -> int:
    """Blocks that the decoding requests need for so many steps."""
    blocks = steps // m.growth * a.decoding
    for ahead in range(1, steps % m.growth + 1):
        blocks += s.phases[a.phases + (a.step + ahead) % m.growth]
    return blocks


def _most_steps(m: Machine, s: State, a: Any) -> int:
    """Steps until a request ends or the blocks run out."""
    steps = s.ends[a.places].step - a.step
    room = a.free + a.idle
    if (steps // m.growth + 1) * a.decoding <= room or _blocks_for(m, s, a, steps) <= room:
        return steps
    steps = room // a.decoding * m.growth
    blocks = _blocks_for(m, s, a, steps)
    while True:
        blocks += s.phases[a.phases + (a.step + steps + 1) % m.growth]
        if blocks > room:
            return max(1, steps)
        steps += 1
