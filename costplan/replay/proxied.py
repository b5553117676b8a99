"""HTTP through TLS or a proxy by aiohttp, where raw sockets do not reach; knows no schedule.

Times are a little later than on a raw socket: a piece is noted when a task has been woken for it. aiohttp connects only
with a request, so no connection is opened before the start.
"""

import asyncio
import os
from time import monotonic
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from costplan.replay.script import Target
from costplan.replay.server import is_here
from costplan.replay.wire import UNREAD_BYTES, Address, Done, Exchange, reason_of

if TYPE_CHECKING:
    from aiohttp import ClientSession

READ_BYTES = 4 << 20
"""aiohttp's own 64 KiB stops the reading of long answers (vLLM issue 39963)."""
IDLE_S = 300.0
HEADERS = {"User-Agent": "costplan", "Content-Type": "application/json", "Accept-Encoding": "identity"}
"""A compressed stream comes in lumps."""
CLOSE_S = 0.1
"""TLS says goodbye in a few turns of the loop that nobody can wait for (aiohttp's documentation, Graceful Shutdown)."""


def needed(address: Address) -> bool:
    """Whether a raw socket would not get there: TLS, or the environment names a proxy for this host."""
    return address.scheme == "https" or proxied(address)


def proxied(address: Address) -> bool:
    """A server on this machine is never asked through a proxy."""
    if is_here(address.host) or not any(name.lower().endswith("_proxy") for name in os.environ):
        return False
    from aiohttp.helpers import get_env_proxy_for_url
    from yarl import URL

    try:
        get_env_proxy_for_url(URL.build(scheme=address.scheme, host=address.host, port=address.port))
    except LookupError:
        return False
    return True


class ProxiedWires:
    """One aiohttp session with as many connections as there are requests."""

    def __init__(self, address: Address, target: Target, done: Done, full: Done) -> None:
        self.target, self.done, self.full = target, done, full
        self.trust_env = proxied(address)
        self.session: ClientSession | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.opened = self.opened_late = 0
        self.started = False

    async def open(self, count: int) -> None:
        import aiohttp

        trace = aiohttp.TraceConfig()
        trace.on_request_chunk_sent.append(self._sent)
        trace.on_connection_create_end.append(self._created)
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=None, keepalive_timeout=IDLE_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            headers=HEADERS | self.target.headers,
            read_bufsize=READ_BYTES, trust_env=self.trust_env, trace_configs=[trace],
        )  # fmt: skip

    def start(self) -> None:
        self.started = True

    def send(self, exchange: Exchange, body: memoryview) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(exchange, bytes(body)))
        exchange.handle = task
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def cancel(self, exchange: Exchange) -> None:
        handle, exchange.handle = exchange.handle, None
        if handle is not None:
            handle.cancel()

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        if self.session is not None:
            await self.session.close()
            await asyncio.sleep(CLOSE_S)

    async def _sent(self, _session: Any, context: SimpleNamespace, _params: Any) -> None:
        exchange: Exchange = context.trace_request_ctx
        exchange.sent_s = exchange.last_byte_s = monotonic()

    async def _created(self, _session: Any, context: SimpleNamespace, _params: Any) -> None:
        self.opened += 1
        self.opened_late += self.started
        context.trace_request_ctx.reused = False

    async def _carry(self, exchange: Exchange, body: bytes) -> None:
        import aiohttp

        try:
            await self._exchange(exchange, body)
        except (aiohttp.ClientError, OSError) as error:
            if exchange.reused and exchange.first_byte_s is None and isinstance(error, OSError):
                exchange.reused = False  # a connection kept too long; the next one may be, too, so only once
                await self._carry(exchange, body)
                return
            exchange.trouble = _trouble(error)
        exchange.done_s, exchange.handle = monotonic(), None
        self.done(exchange)

    async def _exchange(self, exchange: Exchange, body: bytes) -> None:
        assert self.session is not None
        post = self.session.post(self.target.url, data=body, allow_redirects=False, trace_request_ctx=exchange)
        async with post as response:
            exchange.first_byte_s = exchange.last_byte_s = monotonic()
            exchange.status = response.status
            async for data in response.content.iter_any():
                exchange.last_byte_s = monotonic()
                exchange.pieces.append((exchange.last_byte_s, data))
                exchange.pending_bytes += len(data)
                if exchange.pending_bytes > UNREAD_BYTES:
                    self.full(exchange)


def _trouble(error: Exception) -> str:
    import aiohttp

    match error:
        case aiohttp.ClientSSLError():
            return "tls_failed"
        case aiohttp.ClientHttpProxyError():
            return "proxy_refused"
        case aiohttp.ClientConnectorError():
            return reason_of(error.os_error)
        case aiohttp.ServerDisconnectedError():
            return "connection_closed"
        case aiohttp.ClientPayloadError():
            # its cause is the parser's complaint; the socket's own stands in the text
            return "connection_reset" if "ConnectionResetError" in str(error) else "stream_ended_early"
        case aiohttp.ClientOSError():
            return reason_of(error)
        case _:
            return "bad_answer"
