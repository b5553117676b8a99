"""Sends each request when it is due and writes down what came of it; knows no sockets and no other process.

The schedule is absolute: the start plus due_s, never a sleep after the last send. Answers are read in short slices, so
that this delays neither a send nor the time that a token is noted at.
"""

import asyncio
import gc
import os
import signal
import threading
from array import array
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from time import monotonic, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.replay import proxied
from costplan.replay.record import base, encode, read_pieces, record_of
from costplan.replay.script import Load, Script, Target
from costplan.replay.wire import Exchange, TcpWires, Wires, address_of

SPIN_S = 0.0012
"""Timers of the loop count whole milliseconds: the last one before a send is waited for turn by turn."""
APART_S = 0.001
"""A closed loop opens its places so far apart: all at once, requests would wait for each other in the client's own
socket, and a server of even pace would keep them in step to the end."""
READ_S = 0.0005
"""Of each turn of the loop may go into reading answers."""
FLUSH_S = 0.2
PROBE_S = 0.01
QUEUED = 5
"""So many times as long may the beginning of an answer take: a request that waits for its turn has not stalled."""
BACKLOG = 20_000
"""Unread answers at which reading comes before everything: memory has to end somewhere."""

Failed = Callable[[int], int]
"""Counts so many more failures and returns how many there are, in all processes."""
Progress = Callable[[int], None]
Start = Callable[[], Awaitable[float]]
"""Waits until all processes are ready; the moment they start at, by time.monotonic()."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What one process saw of itself."""

    lateness_s: "array[float]"
    connected_s: "array[float]"
    """The same of those that did not have to wait for a connection: nobody's doing but the client's."""
    ttft_s: "array[float]"
    lag_s: "array[float]"
    cpu_share: float
    wall_s: float
    connections: int
    opened_late: int
    peak_in_flight: int
    out_of_sockets: int
    interrupted: bool


async def play_rows(
    script: Script, rows: NDArray[np.int64], target: Target, load: Load, *, bodies: memoryview, lines: int,
    connections: int, start: Start, failed: Failed, progress: Progress,
) -> Played:  # fmt: skip
    """Plays these rows of the script; `lines` is the descriptor that records are written to."""
    address = address_of(target)
    sender = Sender(script, rows, load, bodies=bodies, lines=lines, failed=failed, progress=progress, key=target.key)
    wires: Wires
    if proxied.needed(address):
        wires = sender.wires = proxied.ProxiedWires(address, target, sender.done, sender.full)
    else:
        wires = sender.wires = TcpWires(address, sender.done, sender.full)
    if threading.current_thread() is threading.main_thread():
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, sender.interrupt)
    await wires.open(connections)
    collecting = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        return await sender.play(await start())
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()
        await wires.close()


class Sender:
    """The state of a run: what is still to be sent, what is in flight, what is not read yet."""

    wires: Wires

    def __init__(
        self, script: Script, rows: NDArray[np.int64], load: Load, *, bodies: memoryview, lines: int, failed: Failed,
        progress: Progress, key: str,
    ) -> None:  # fmt: skip
        self.key = key
        self.script, self.rows, self.load, self.bodies, self.lines = script, rows, load, bodies, lines
        self.failed, self.progress = failed, progress
        self.loop = asyncio.get_running_loop()
        alone = script.previous[rows] < 0
        self.static = rows[alone]
        self.static_due_s = script.due_s[self.static]
        self.next_static = 0
        self.followers: dict[int, list[int]] = {}
        for row in rows[~alone].tolist():
            self.followers.setdefault(int(script.previous[row]), []).append(row)
        self.thinking: list[tuple[float, int]] = []
        self.ready: deque[int] = deque()
        self.launched = np.zeros(script.requests, np.bool_)
        self.flying: set[Exchange] = set()
        self.unread: deque[Exchange] = deque()
        self.total = len(rows)
        self.pending = self.settled = self.peak = self.out_of_sockets = self.places = 0
        self.stopped = ""
        self.over = asyncio.Event()
        self.timer: Any = None
        self.timer_s = float("inf")
        self.reading = False
        self.text = bytearray()
        self.lateness_s, self.connected_s = array("d"), array("d")
        self.ttft_s, self.lag_s = array("d"), array("d")

    async def play(self, start_s: float) -> Played:
        self.start_s = start_s
        self.static_due_s = self.static_due_s + start_s
        self.wires.start()
        self.rearm()
        self.watch_every = max(0.01, min(FLUSH_S, self.load.timeout_s / 4, self.load.stall_s / 4))
        watch = self.loop.create_task(self.watch())
        watch.add_done_callback(lambda _: self.over.set())
        probe = self.loop.create_task(self.probe())
        cpu_s = process_time()
        if self.total:
            await self.over.wait()
        if watch.done():  # the disk is full, or whoever wanted to know how far it is has failed
            watch.result()
        wall_s = max(monotonic() - start_s, 1e-9)
        cpu_s = process_time() - cpu_s
        for task in (watch, probe):
            task.cancel()
        self.give_up_rest()
        self.flush()
        return Played(
            lateness_s=self.lateness_s, connected_s=self.connected_s, ttft_s=self.ttft_s, lag_s=self.lag_s,
            cpu_share=cpu_s / wall_s, wall_s=wall_s,
            connections=self.wires.opened, opened_late=self.wires.opened_late, peak_in_flight=self.peak,
            out_of_sockets=self.out_of_sockets, interrupted=self.stopped == "interrupted",
        )  # fmt: skip

    # what is due

    def next_due_s(self) -> float:
        due_s = self.thinking[0][0] if self.thinking else float("inf")
        if self.load.concurrency:
            return min(due_s, self.place_s()) if self.places < self.load.concurrency else due_s
        if self.next_static < len(self.static):
            return min(due_s, float(self.static_due_s[self.next_static]))
        return due_s

    def rearm(self) -> None:
        """One timer, a little early, for whatever is due next."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        due_s = self.next_due_s()
        if self.stopped or due_s == float("inf"):
            return
        delay_s = due_s - monotonic()
        if delay_s < SPIN_S:
            self.timer = self.loop.call_soon(self.turn)
        else:
            self.timer = self.loop.call_later((delay_s * 1000 - 0.6) // 1 / 1000, self.turn)

    def turn(self) -> None:
        """Everything that is due goes out together."""
        self.timer = None
        limit_s = monotonic()
        while self.thinking and self.thinking[0][0] <= limit_s and not self.stopped:
            due_s, row = heappop(self.thinking)
            self.follow(due_s, row)
        if self.load.concurrency:
            while self.places < self.load.concurrency and (due_s := self.place_s()) <= limit_s:
                self.places += 1
                self.fill(due_s)
        else:
            static, due = self.static, self.static_due_s
            while self.next_static < len(static) and due[self.next_static] <= limit_s and not self.stopped:
                self.next_static += 1
                self.launch(int(static[self.next_static - 1]), float(due[self.next_static - 1]))
        self.rearm()

    def follow(self, due_s: float, row: int) -> None:
        if self.load.concurrency:
            self.ready.append(row)
            self.fill(due_s)
        else:
            self.launch(row, due_s)

    def place_s(self) -> float:
        """Closed loop: when the next place opens."""
        return self.start_s + self.places * APART_S

    def fill(self, due_s: float) -> None:
        """Closed loop: as many in flight as there are places."""
        while len(self.flying) < self.places and not self.stopped:
            if self.ready:
                row = self.ready.popleft()
            elif self.next_static < len(self.static):
                self.next_static += 1
                row = int(self.static[self.next_static - 1])
            else:
                return
            self.launch(row, due_s)

    def launch(self, row: int, due_s: float) -> None:
        exchange = Exchange(row=row, due_s=due_s, dispatched_s=monotonic())
        self.launched[row] = True
        self.pending += 1
        self.flying.add(exchange)
        self.peak = max(self.peak, len(self.flying))
        start, end = self.script.offsets[row : row + 2].tolist()
        self.wires.send(exchange, self.bodies[start:end])

    # what came back

    def done(self, exchange: Exchange) -> None:
        """The answer is complete, or there will be none: what waits for it goes on at once."""
        self.flying.discard(exchange)
        self.queue(exchange)
        for row in self.followers.pop(exchange.row, ()):
            due_s = exchange.done_s + float(self.script.think_s[row])
            if due_s <= monotonic() and not self.stopped:
                self.follow(due_s, row)
            else:
                heappush(self.thinking, (due_s, row))
                if self.thinking[0][1] == row:
                    self.rearm()
        if self.load.concurrency:
            self.fill(monotonic())

    def full(self, exchange: Exchange) -> None:
        """Much of an answer is there, and more will come."""
        exchange.pending_bytes = 0
        self.queue(exchange)

    def queue(self, exchange: Exchange) -> None:
        self.unread.append(exchange)
        if not self.reading:
            self.reading = True
            self.loop.call_soon(self.read)

    def read(self) -> None:
        """Answers are decoded for a moment, then the loop may turn."""
        until_s = monotonic() + READ_S
        while self.unread and (monotonic() < until_s or len(self.unread) > BACKLOG):
            exchange = self.unread.popleft()
            if not exchange.done_s:
                read_pieces(exchange, collect=self.load.collect)
            elif not exchange.settled:
                self.settle(exchange)
        if self.unread:
            self.loop.call_soon(self.read)
        else:
            self.reading = False

    def settle(self, exchange: Exchange) -> None:
        exchange.settled = True
        record = record_of(exchange, self.script, self.start_s, collect=self.load.collect, key=self.key)
        exchange.answer = None
        self.text += encode(record) + b"\n"
        self.pending -= 1
        self.settled += 1
        if exchange.sent_s is not None:
            self.lateness_s.append(exchange.sent_s - exchange.due_s)
            if exchange.reused:
                self.connected_s.append(exchange.sent_s - exchange.due_s)
        if record.first_token_s is not None:
            self.ttft_s.append(record.first_token_s - record.due_s)
        self.out_of_sockets += record.reason == "out_of_sockets"
        if record.state == "failed" and not self.stopped:
            failures = self.failed(1)
            if self.load.max_failures is not None and failures >= self.load.max_failures:
                self.stop("stopped")
        if not self.pending and (self.stopped or self.settled == self.total):
            self.over.set()

    # the end

    def stop(self, reason: str) -> None:
        """Nothing more is sent; what is in flight may end."""
        self.stopped = self.stopped or reason
        if not self.pending:
            self.over.set()

    def interrupt(self) -> None:
        """Nothing more is sent or waited for."""
        self.stopped = "interrupted"
        for exchange in list(self.flying):
            self.abandon(exchange, "interrupted")
        self.stop("interrupted")

    def abandon(self, exchange: Exchange, reason: str) -> None:
        self.wires.cancel(exchange)
        exchange.trouble, exchange.done_s = reason, monotonic()
        self.done(exchange)

    def give_up_rest(self) -> None:
        for row in self.rows[~self.launched[self.rows]].tolist():
            due_s = float(self.script.due_s[row])
            self.text += encode(base(self.script, row, "unsent", self.stopped or "stopped", due_s)) + b"\n"

    # beside it

    async def watch(self) -> None:
        """Records go to the file, requests that take too long are given up, others are told how far it is."""
        load = self.load
        while True:
            await asyncio.sleep(self.watch_every)
            now = monotonic()
            for exchange in list(self.flying):
                since_s = exchange.sent_s or exchange.dispatched_s
                if now - since_s > load.timeout_s:
                    self.abandon(exchange, "timeout")
                    continue
                begun = bool(exchange.pieces) or exchange.answer is not None
                patience_s = load.stall_s * (1 if begun else QUEUED)
                if now - max(exchange.last_byte_s, exchange.dispatched_s) > patience_s:
                    self.abandon(exchange, "stalled")
            if not self.stopped and load.max_failures is not None and self.failed(0) >= load.max_failures:
                self.stop("stopped")
            self.flush()
            self.progress(self.settled)

    async def probe(self) -> None:
        """How late a timer fires while the run is on."""
        await asyncio.sleep(max(0.0, self.start_s - monotonic()))
        while True:
            asked_s = monotonic() + PROBE_S
            await asyncio.sleep(PROBE_S)
            self.lag_s.append(max(0.0, monotonic() - asked_s))

    def flush(self) -> None:
        view = memoryview(bytes(self.text))
        self.text.clear()
        while view:
            view = view[os.write(self.lines, view) :]
