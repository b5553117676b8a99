"""HTTP/1.1 over plain TCP: requests written to the socket, the time of each piece that comes back; knows no schedule.

A connection notes when bytes came and passes on the body; nothing is decoded here. Times are time.monotonic().
"""

import asyncio
import errno
import os
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from socket import SOCK_STREAM
from time import monotonic
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import httptools

from costplan.errors import CostplanError
from costplan.replay.answer import Answer
from costplan.replay.script import Target

OPEN_AT_ONCE = 64
"""Connections asked for together before the start: a listen queue holds 128 where nobody asked for more."""
STALE_S = 1.0
"""A connection that ends so soon after a request was written to it had been closed by the server before."""
UNREAD_BYTES = 65_536
"""Of an answer are read before it has ended: about half a millisecond of work, and memory stays bounded."""
OUT_OF_SOCKETS = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS)


@dataclass(slots=True, kw_only=True, eq=False)
class Exchange:
    """One request on its way: its clocks, and the pieces of its answer that nobody has read yet."""

    row: int
    due_s: float
    dispatched_s: float
    sent_s: float | None = None
    first_byte_s: float | None = None
    last_byte_s: float = 0.0
    done_s: float = 0.0
    status: int | None = None
    pieces: list[tuple[float, bytes]] = field(default_factory=list[tuple[float, bytes]])
    pending_bytes: int = 0
    reused: bool = True
    trouble: str = ""
    """What the transport says went wrong."""
    handle: Any = None
    """The connection or task that carries it."""
    answer: Answer | None = None
    """What was read so far."""
    opening: bytes = b""
    """The first bytes of the body, where they are to be kept."""
    settled: bool = False


class Wires(Protocol):
    """What carries requests: raw connections (`TcpWires`) or aiohttp (costplan.replay.proxied)."""

    opened: int
    opened_late: int

    async def open(self, count: int) -> None:
        """Connects before the clock starts; where nobody listens, the first request will say so."""
        ...

    def start(self) -> None:
        """From now on, what is opened is opened late."""
        ...

    def send(self, exchange: Exchange, body: memoryview) -> None:
        """Ends in a call of the `done` that it was made with, exactly one for each."""
        ...

    def cancel(self, exchange: Exchange) -> None:
        """Gives the request up; `done` is not called for it any more."""
        ...

    async def close(self) -> None: ...


Done = Callable[[Exchange], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A target taken apart."""

    scheme: str
    host: str
    port: int
    head: bytes
    """Of every request, up to the number that ends the line Content-Length."""


def address_of(target: Target) -> Address:
    """Raises CostplanError for what is no URL and for headers that would end early."""
    try:
        parts = urlsplit(target.url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        parts, port = urlsplit(""), 0
    if not parts.hostname or not port:
        raise CostplanError("not the URL of a server", hint="--url http://localhost:8000/v1")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    given = {name.lower() for name in target.headers}
    defaults = {"Host": f"{host}:{port}", "User-Agent": "costplan", "Accept": "*/*", "Content-Type": "application/json"}
    headers = {name: value for name, value in defaults.items() if name.lower() not in given} | target.headers
    for name, value in headers.items():
        if not (name + value).isprintable() or ":" in name or not (name + value).isascii():
            # the value may be a key: only the name is told
            raise CostplanError(f"header {name!r}: not printable ASCII text", hint="set it anew, on one line")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\n{lines}Content-Length: ".encode("ascii", "replace")
    return Address(scheme=parts.scheme, host=parts.hostname, port=port, head=head)


def reason_of(error: BaseException | None) -> str:
    """The stable name of what a socket says."""
    match error:
        case ConnectionRefusedError():
            return "connection_refused"
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return "connection_reset"
        case None:
            return "connection_closed"
        case OSError() if error.errno in OUT_OF_SOCKETS:
            return "out_of_sockets"
        case _:
            return "cannot_connect"


class Connection(asyncio.Protocol):
    """One connection; carries one request at a time."""

    def __init__(self, wires: "TcpWires") -> None:
        self.wires = wires
        self.exchange: Exchange | None = None
        self.body = memoryview(b"")
        self.served = 0
        self.now = 0.0
        self.fresh_for: Exchange | None = None
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        # high = 0: resume_writing comes when the last byte has gone to the kernel
        self.transport.set_write_buffer_limits(high=0)
        self.fd: int = transport.get_extra_info("socket").fileno()
        self.parser = httptools.HttpResponseParser(self)
        self.parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_optional_lf_after_cr=True)
        self.feed = self.parser.feed_data
        self.open = True

    def send(self, exchange: Exchange, body: memoryview) -> None:
        """Straight into the socket: a transport would write at the end of the loop's turn, at an unknown time."""
        self.exchange, exchange.handle, self.body = exchange, self, body
        head = b"%b%d\r\n\r\n" % (self.wires.address.head, len(body))
        try:
            written = os.writev(self.fd, (head, body))
        except BlockingIOError:
            written = 0
        except OSError:
            self.transport.abort()  # connection_lost says what to do
            return
        if written == len(head) + len(body):
            exchange.sent_s = exchange.last_byte_s = monotonic()
        else:
            self.transport.write(head[written:] + bytes(body[max(0, written - len(head)) :]))
            # without resume_writing where the rest went out in one piece
            self.wires.loop.call_later(0.001, self._flushed)

    def _flushed(self) -> None:
        if self.open and not self.transport.get_write_buffer_size():
            self.resume_writing()

    def resume_writing(self) -> None:
        if self.exchange is not None and self.exchange.sent_s is None:
            self.exchange.sent_s = self.exchange.last_byte_s = monotonic()

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # bytes that nobody asked for
            self.transport.abort()
            return
        now = self.wires.poll_s or self.wires.polled()
        if exchange.first_byte_s is None:
            if exchange.sent_s is None:  # it answers before it has read all
                exchange.sent_s = now
            exchange.first_byte_s = now = max(now, exchange.sent_s)
        self.now = exchange.last_byte_s = now
        try:
            self.feed(data)
        except httptools.HttpParserError:
            self.finish("bad_answer", keep=False)

    def on_headers_complete(self) -> None:
        if self.exchange is not None:
            self.exchange.status = self.parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        exchange = self.exchange
        if exchange is not None:
            exchange.pieces.append((self.now, body))
            exchange.pending_bytes += len(body)
            if exchange.pending_bytes > UNREAD_BYTES:
                self.wires.full(exchange)

    def on_message_complete(self) -> None:
        if self.exchange is not None and (self.exchange.status or 0) >= 200:  # 1xx comes before the answer
            self.finish("", keep=self.parser.should_keep_alive())

    def eof_received(self) -> None:
        self.open = False  # its descriptor may be another's before connection_lost comes

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self.wires.lost(self)
        exchange = self.exchange
        if exchange is None:
            return
        stale = exchange.first_byte_s is None and monotonic() - (exchange.sent_s or monotonic()) < STALE_S
        if stale and self.fresh_for is not exchange:
            # it was closed while it idled, and the request crossed with that: once more, on one of its own
            self.exchange, exchange.sent_s = None, None
            self.wires.connect(exchange, self.body)
            return
        self.now = monotonic()
        ended = "connection_closed" if exchange.status is None else "stream_ended_early"
        self.finish(reason_of(exc) if exc is not None else ended, keep=False)

    def finish(self, trouble: str, *, keep: bool) -> None:
        exchange, self.exchange, self.body = self.exchange, None, memoryview(b"")
        self.served += 1
        if exchange is None:
            return
        exchange.trouble, exchange.done_s, exchange.handle = trouble, self.now, None
        if keep and self.open:
            self.wires.idle.appendleft(self)
        else:
            self.transport.abort() if trouble else self.transport.close()
        self.wires.done(exchange)


class TcpWires:
    """Connections to one server, opened before the start and on demand, kept as long as the server keeps them."""

    def __init__(self, address: Address, done: Done, full: Done) -> None:
        self.address, self.done, self.full = address, done, full
        self.loop = asyncio.get_running_loop()
        self.idle: deque[Connection] = deque()
        self.all: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.opened = self.opened_late = 0
        self.planned = 0
        self.poll_s = 0.0
        """When the loop last asked which sockets have something to read, while it deals with those."""
        self.started = False
        self.host = address.host

    async def open(self, count: int) -> None:
        first = await self._first()
        self.planned = count
        # the one that was opened first serves first: a server that takes one at a time waits for it
        self.idle.extend(first)
        for done in range(len(first), count if first else 0, OPEN_AT_ONCE):
            batch = [self._connection() for _ in range(min(OPEN_AT_ONCE, count - done))]
            found = await asyncio.gather(*batch, return_exceptions=True)
            self.idle.extend(one for one in found if isinstance(one, Connection))

    def start(self) -> None:
        self.started = True

    def polled(self) -> float:
        """Now, for all that the loop found to be there when it asked: reading one makes none of the others later."""
        self.poll_s = monotonic()
        self.loop.call_soon(self._turned)
        return self.poll_s

    def _turned(self) -> None:
        self.poll_s = 0.0

    def send(self, exchange: Exchange, body: memoryview) -> None:
        while self.idle:
            connection = self.idle.popleft()
            if connection.open and not connection.transport.is_closing():
                connection.send(exchange, body)
                return
        self.connect(exchange, body)

    def connect(self, exchange: Exchange, body: memoryview) -> None:
        """Sends on a connection of its own."""
        exchange.handle, exchange.reused = self._task(self._connect(exchange, body)), False

    async def _connect(self, exchange: Exchange, body: memoryview) -> None:
        try:
            connection = await self._connection()
        except OSError as error:
            exchange.trouble, exchange.done_s, exchange.handle = reason_of(error), monotonic(), None
            self.done(exchange)
            return
        connection.fresh_for = exchange
        connection.send(exchange, body)

    async def _connection(self) -> Connection:
        _, connection = await self.loop.create_connection(lambda: Connection(self), self.host, self.address.port)
        self.opened += 1
        self.opened_late += self.started
        self.all.add(connection)
        return connection

    async def _first(self) -> list[Connection]:
        """Names are looked up once: of the addresses, the first that takes a connection."""
        try:
            # a numeric host is not looked up again
            found = await self.loop.getaddrinfo(self.address.host, self.address.port, type=SOCK_STREAM)
        except OSError:
            return []
        for *_, place in found:
            self.host = str(place[0])
            try:
                return [await self._connection()]
            except OSError:
                continue
        return []

    def lost(self, connection: Connection) -> None:
        """One that had served is replaced at once, so that no request has to wait for a connection."""
        self.all.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        if self.started and connection.served and len(self.all) < self.planned:
            self._task(self._spare())

    async def _spare(self) -> None:
        try:
            self.idle.append(await self._connection())
        except OSError:
            return

    def _task(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def cancel(self, exchange: Exchange) -> None:
        handle, exchange.handle = exchange.handle, None
        if isinstance(handle, Connection):
            handle.exchange = None
            handle.transport.abort()
        elif handle is not None:
            handle.cancel()

    async def close(self) -> None:
        self.started = False
        for task in self.tasks:
            task.cancel()
        for connection in list(self.all):
            connection.transport.abort()
        await asyncio.sleep(0)
