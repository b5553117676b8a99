"""A server with the face of vLLM and a known truth: it says when each request came and when each token left.

    python tests/replay/mock_server.py --port 8000 --ttft-ms 100 --itl-ms 20 --tokens 50
    with mock_server(ttft_ms=100, itl_ms=20) as server: server.url, server.stats(), server.reset(), server.kill()

It runs in a process of its own. Options are the fields of `MockOptions`. It answers

    POST /v1/chat/completions, /v1/completions      streamed or not; `stream_options.include_usage`; `max_tokens`,
                                                    `max_completion_tokens`, `min_tokens`, `ignore_eos`
    GET  /v1/models, /health, /metrics, /version (404 unless `version` is given)
    POST /tokenize, /detokenize, /reset_prefix_cache
    GET  /stats    {"connections", "peak_in_flight", "requests": [{index, arrival_s, first_s, last_s, tokens,
                    input_tokens, cached_tokens, body, path, stream, connection, fault, status, aborted}]}
    POST /reset    forgets all of that, the counters of /metrics and the prefix cache

Truth. `arrival_s`, `first_s`, `last_s` are time.monotonic(), which all processes of a Linux machine share: the whole
body was parsed; the first and the last token were handed to the kernel. `body` is the BLAKE2b-64 of the request body.
Tokens leave on an absolute schedule, arrival + ttft + k * itl, by one timer for all requests.

Tokenizer. A word is a token, white space is none; the id of `t123` is 123, of any other word its CRC-32 modulo 50,000.
A chat message costs its words and 3 more (ids 1, 2 and the length of its role), the answer's own start 1 (id 3).

Prefix cache. Blocks of 16 token ids, chained, never evicted, entered when a request comes; at most n - 1 tokens hit.

Faults. `fault` befalls every `fault_every`-th generation request; a key "mock_fault" in a body befalls that request:
http_NNN (an error body), reset, half_close, truncate, stall, error, die, garbage_json (after `fault_tokens` tokens),
no_answer, garbage_http, no_usage, too_many (twice the tokens), huge (64 KB a token), stale (closed without a byte of an
answer, on a connection that has served before), close (`Connection: close`).
"""

import argparse
import asyncio
import dataclasses
import gc
import hashlib
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import time
import urllib.request
import zlib
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager, suppress
from heapq import heappop, heappush
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

BLOCK = 16
VOCABULARY = 50_000
TTFT_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
SERVER_ERRORS = {401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}
EARLY_S = 0.0003  # what is due so soon goes out with the others
AT_ONCE = 16  # tokens that leave before it is looked whether something came


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MockOptions:
    """What the server does; on the command line `--ttft-ms 100`."""

    port: int = 0
    """0 = any free one; it is printed as `listening on 127.0.0.1:PORT`."""
    ttft_ms: float = 0.0
    itl_ms: float = 0.0
    tokens: int = 16
    """Of an answer, where the request does not ask for fewer, or with `ignore_eos` for more."""
    force_tokens: int = 0
    """Of every answer, whatever was asked."""
    tokens_per_chunk: int = 1
    answer: str = ""
    """Its words are the tokens; else each is `tok`."""
    prefill_us: float = 0.0
    """More TTFT for each prompt token that the prefix cache does not hold."""
    itl_slope_us: float = 0.0
    """More ITL for each request that runs."""
    slots: int = 0
    """At most so many run, the others wait; 0 = no limit."""
    model: str = "mock"
    check_model: bool = False
    """404 for any other model, as vLLM does."""
    api_key: str = ""
    """401 without it."""
    version: str = ""
    max_model_len: int = 32_768
    eol: str = "\n"
    """Of stream lines; `\\r\\n` is legal too."""
    space: bool = True
    """`data: {` or `data:{`."""
    framing: str = "chunked"
    """Of streams: chunked, or close: neither length nor chunks, the end of the connection is the end."""
    keep_alive_s: float = 0.0
    """An idle connection is closed after so long; 0 = never."""
    certificate: str = ""
    """PEM file of a key and its certificate: TLS."""
    fault: str = ""
    fault_every: int = 1
    fault_tokens: int = 2


class Mock:
    """All state: options, truth, counters, and the one timer."""

    def __init__(self, options: MockOptions) -> None:
        self.options = options
        self.loop = asyncio.get_running_loop()
        self.heap: list[tuple[float, int, Answer]] = []
        self.sequence = 0
        self.timer: Any = None
        self.timer_s = float("inf")
        self.connections: set[Connection] = set()
        self.running: set[Answer] = set()
        self.waiting: deque[Answer] = deque()
        words = [f" {word}" for word in options.answer.split()] or [" tok"]
        self.chunks = {chat: [event(options, chunk(chat, word)) for word in words] for chat in (False, True)}
        self.finishes = {
            (chat, reason): event(options, chunk(chat, "", reason))
            for chat in (False, True)
            for reason in ("stop", "length")
        }
        self.reset()

    def reset(self) -> None:
        self.truth: list[dict[str, Any]] = []
        self.opened = len(self.connections)
        self.peak = len(self.running)
        self.cache: set[bytes] = set()
        names = ("prompt", "generation", "queries", "hits", "stop", "length", "steps", "stepped")
        self.counters = dict.fromkeys(names, 0)
        self.ttft: list[float] = []
        self.e2e: list[float] = []

    def at(self, when: float, answer: "Answer") -> None:
        self.sequence += 1
        heappush(self.heap, (when, self.sequence, answer))
        if when < self.timer_s:
            self.arm()

    def arm(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer_s = self.heap[0][0]
        delay = self.timer_s - time.monotonic()
        self.timer = self.loop.call_later(delay, self.tick) if delay > EARLY_S else self.loop.call_soon(self.tick)

    def tick(self) -> None:
        """Every answer that is due takes one step: with an ITL of 0 too, tokens leave one by one."""
        self.timer, self.timer_s = None, float("inf")
        limit = time.monotonic() + EARLY_S
        due: list[Answer] = []
        while self.heap and self.heap[0][0] <= limit and len(due) < AT_ONCE:
            due.append(heappop(self.heap)[2])
        before = self.counters["generation"]
        self.timer_s = float("-inf")  # steps arm nothing
        for answer in due:
            answer.step()
        self.timer_s = float("inf")
        self.counters["steps"] += 1
        self.counters["stepped"] += self.counters["generation"] - before
        if self.heap:
            self.arm()

    def admit(self, answer: "Answer") -> None:
        if self.options.slots and len(self.running) >= self.options.slots:
            self.waiting.append(answer)
            return
        self.running.add(answer)
        self.peak = max(self.peak, len(self.running) + len(self.waiting))
        answer.start(time.monotonic() if self.options.slots else answer.truth["arrival_s"])

    def leave(self, answer: "Answer") -> None:
        self.running.discard(answer)
        if answer in self.waiting:
            self.waiting.remove(answer)
        if self.waiting and len(self.running) < self.options.slots:
            self.admit(self.waiting.popleft())

    def cached(self, ids: list[int], salt: str = "") -> int:
        """Prompt tokens found; the prompt's own blocks are held from now on. `cache_salt` goes before all blocks."""
        found, chain, counting = 0, salt.encode(), True
        for end in range(BLOCK, len(ids) + 1, BLOCK):
            block = chain + struct.pack(f"{BLOCK}q", *ids[end - BLOCK : end])
            chain = hashlib.blake2b(block, digest_size=16).digest()
            counting = counting and chain in self.cache and end <= len(ids) - 1
            found += BLOCK * counting
            self.cache.add(chain)
        return found


class Answer:
    """One generation request on its way."""

    __slots__ = ("connection", "due_s", "fault", "length", "mock", "request", "sent", "stream", "truth", "usage")

    def __init__(self, connection: "Connection", request: dict[str, Any], truth: dict[str, Any], fault: str) -> None:
        self.connection, self.mock, self.request, self.truth, self.fault = (
            connection, connection.mock, request, truth, fault,
        )  # fmt: skip
        self.stream = bool(request.get("stream"))
        self.length = length(self.mock.options, request) * (2 if fault == "too_many" else 1)
        self.sent = 0
        self.due_s = 0.0
        self.usage = {
            "prompt_tokens": truth["input_tokens"], "completion_tokens": self.length,
            "total_tokens": truth["input_tokens"] + self.length,
            "prompt_tokens_details": {"cached_tokens": truth["cached_tokens"]},
        }  # fmt: skip

    @property
    def chat(self) -> bool:
        return self.truth["path"].endswith("/chat/completions")

    def start(self, start_s: float) -> None:
        options = self.mock.options
        fresh = self.truth["input_tokens"] - self.truth["cached_tokens"]
        self.due_s = start_s + options.ttft_ms / 1e3 + fresh * options.prefill_us / 1e6
        if not self.stream:
            self.due_s += (self.length - 1) * options.itl_ms / 1e3
        elif self.chat and self.due_s > start_s:  # a role long before the first token is no token
            self.connection.send(self.headers() + event(options, chunk(True, None)))
        self.mock.at(self.due_s, self)

    def headers(self) -> bytes:
        framing = b"" if self.mock.options.framing == "close" else b"transfer-encoding: chunked\r\n"
        self.connection.headers_sent = True
        return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n" + framing + self.connection.bye() + b"\r\n"

    def step(self) -> None:
        if self.connection.gone:
            return
        if self.fault in IN_MID and self.sent >= self.mock.options.fault_tokens:
            IN_MID[self.fault](self)
            return
        if not self.stream:
            self.whole()
            return
        options = self.mock.options
        out = b"" if self.connection.headers_sent else self.headers() + (
            event(options, chunk(True, None)) if self.chat else b""
        )  # fmt: skip
        count = min(options.tokens_per_chunk, self.length - self.sent)
        chunks = self.mock.chunks[self.chat]
        if self.fault == "huge":
            out += event(options, chunk(self.chat, "x" * 65_536))
        elif count == 1:
            out += chunks[self.sent % len(chunks)]
        else:
            out += event(options, chunk(self.chat, " tok" * count))
        self.sent += count
        self.mock.counters["generation"] += count
        last = self.sent >= self.length
        self.connection.send(out + (self.end() if last else b""))
        now = time.monotonic()
        if self.truth["first_s"] is None:
            self.truth["first_s"] = now
            self.mock.ttft.append(now - self.truth["arrival_s"])
        self.truth["tokens"] = self.sent
        if last:
            self.finish(now)
        else:
            self.due_s += (options.itl_ms + options.itl_slope_us / 1e3 * len(self.mock.running)) / 1e3
            self.mock.at(self.due_s, self)

    def reason(self) -> str:
        return "length" if self.length >= (asked(self.request) or 1 << 60) else "stop"

    def end(self) -> bytes:
        options = self.mock.options
        out = self.mock.finishes[self.chat, self.reason()]
        if (self.request.get("stream_options") or {}).get("include_usage") and self.fault != "no_usage":
            out += event(options, f'{{"id": "mock", "choices": [], "usage": {json.dumps(self.usage)}}}')
        return out + event(options, "[DONE]") + (b"" if options.framing == "close" else b"0\r\n\r\n")

    def whole(self) -> None:
        words = self.mock.options.answer.split() or ["tok"]
        text = " ".join(words[k % len(words)] for k in range(self.length)) * (1_000 if self.fault == "huge" else 1)
        choice: dict[str, Any] = {"index": 0, "finish_reason": self.reason()}
        choice |= {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        body = {"id": "mock", "object": "completion", "model": self.mock.options.model, "choices": [choice]}
        self.connection.reply(200, body if self.fault == "no_usage" else body | {"usage": self.usage})
        self.truth["first_s"] = now = time.monotonic()
        self.truth["tokens"] = self.sent = self.length
        self.mock.counters["generation"] += self.length
        self.mock.ttft.append(now - self.truth["arrival_s"])
        self.finish(now)

    def finish(self, now: float) -> None:
        self.truth["last_s"] = now
        self.mock.counters[self.reason()] += 1
        self.mock.e2e.append(now - self.truth["arrival_s"])
        if self.stream and (self.mock.options.framing == "close" or self.connection.closing):
            self.connection.transport.close()
        self.connection.free()


def end_early(answer: Answer, out: bytes, *, close: bool) -> None:
    """Writes the bytes and has nothing more to say."""
    answer.connection.send((b"" if answer.connection.headers_sent else answer.headers()) + out)
    if close:
        answer.connection.transport.close()
    answer.connection.free()


IN_MID = {
    "reset": lambda answer: answer.connection.reset(),
    "half_close": lambda answer: end_early(answer, b"", close=True),
    "truncate": lambda answer: end_early(answer, b"0\r\n\r\n", close=False),
    "stall": lambda answer: None,
    "die": lambda answer: os._exit(1),
    "garbage_json": lambda answer: end_early(
        answer, event(answer.mock.options, '{"choices": [{"text": nonsense') + b"0\r\n\r\n", close=False
    ),
    "error": lambda answer: end_early(
        answer,
        event(answer.mock.options, json.dumps({"error": {"message": "out of memory", "code": 500}}))
        + event(answer.mock.options, "[DONE]")
        + b"0\r\n\r\n",
        close=False,
    ),
}


class Connection(asyncio.Protocol):
    """One client connection; requests come one after the other."""

    transport: Any

    def __init__(self, mock: Mock) -> None:
        import httptools

        self.mock = mock
        self.parser = httptools.HttpRequestParser(self)
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.body: list[bytes] = []
        self.answer: Answer | None = None
        self.gone = self.headers_sent = self.closing = False
        self.served = 0
        self.number = 0
        self.idle: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.fd: int = transport.get_extra_info("socket").fileno()
        self.mock.connections.add(self)
        self.mock.opened += 1
        self.number = self.mock.opened
        self.watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self.mock.connections.discard(self)
        if self.answer is not None:
            self.answer.truth["aborted"] = True
            self.free()

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except Exception:  # whatever was sent, it is not HTTP
            self.transport.close()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        arrival_s = time.monotonic()
        if self.idle is not None:
            self.idle.cancel()
        method, path, body = self.parser.get_method(), urlsplit(self.url.decode()).path, b"".join(self.body)
        self.closing = self.headers.get(b"connection", b"").lower() == b"close"
        authorization = self.headers.get(b"authorization", b"").decode("latin-1")
        self.url, self.headers, self.body, self.headers_sent = b"", {}, [], False
        if path in ("/v1/chat/completions", "/v1/completions"):
            # later, where there is time: the arrival of others is to be noted first
            delay_s = min(0.002, self.mock.options.ttft_ms / 10e3)
            self.mock.loop.call_later(delay_s, self.generate, path, body, authorization, arrival_s)
        else:
            self.other(method.decode(), path, body)

    def generate(self, path: str, body: bytes, authorization: str, arrival_s: float) -> None:
        mock, options = self.mock, self.mock.options
        truth: dict[str, Any] = {
            "index": len(mock.truth), "arrival_s": arrival_s, "first_s": None, "last_s": None, "tokens": 0,
            "input_tokens": 0, "cached_tokens": 0, "body": hashlib.blake2b(body, digest_size=8).hexdigest(),
            "path": path, "stream": False, "connection": self.number, "fault": "", "status": 200, "aborted": False,
        }  # fmt: skip
        mock.truth.append(truth)
        self.served += 1
        try:
            request = json.loads(body)
            ids = token_ids(request)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self.refuse(truth, 400, str(error))
            return
        fault = request.get("mock_fault") or ""
        if not fault and options.fault and len(mock.truth) % options.fault_every == 0:
            fault = options.fault
        truth |= {"stream": bool(request.get("stream")), "fault": fault, "input_tokens": len(ids)}
        if options.api_key and authorization != f"Bearer {options.api_key}":
            self.refuse(truth, 401, "invalid API key")
        elif options.check_model and request.get("model") != options.model:
            self.refuse(truth, 404, f"The model `{request.get('model')}` does not exist.")
        elif len(ids) > options.max_model_len:
            self.refuse(truth, 400, f"maximum context length is {options.max_model_len} tokens")
        elif fault.startswith("http_"):
            self.refuse(truth, int(fault[5:]), "as told")
        elif fault == "garbage_http":
            self.send(b"SSH-2.0-OpenSSH_9.6 this is no HTTP\r\n\r\n")
        elif fault == "stale" and self.served > 1:
            self.transport.close()
        elif fault != "no_answer":
            truth["cached_tokens"] = mock.cached(ids, str(request.get("cache_salt") or ""))
            mock.counters["prompt"] += len(ids)
            mock.counters["queries"] += len(ids)
            mock.counters["hits"] += truth["cached_tokens"]
            self.closing = self.closing or fault == "close"
            self.answer = Answer(self, request, truth, fault)
            mock.admit(self.answer)

    def other(self, method: str, path: str, body: bytes) -> None:
        mock, options = self.mock, self.mock.options
        match method, path:
            case "GET", "/health":
                self.reply(200, b"")
            case "GET", "/v1/models":
                card = {"id": options.model, "object": "model", "max_model_len": options.max_model_len}
                card |= {"owned_by": "vllm"} if options.version else {}
                self.reply(200, {"object": "list", "data": [card]})
            case "GET", "/version" if options.version:
                self.reply(200, {"version": options.version})
            case "GET", "/metrics":
                self.reply(200, metrics(mock).encode(), b"text/plain; version=0.0.4")
            case "GET", "/stats":
                facts = {"connections": mock.opened, "peak_in_flight": mock.peak, "requests": mock.truth}
                self.reply(200, facts)
            case "POST", "/reset" | "/reset_prefix_cache":
                mock.cache = set()
                if path == "/reset":
                    mock.reset()
                self.reply(200, {})
            case "POST", "/tokenize":
                ids = token_ids(json.loads(body))
                self.reply(200, {"count": len(ids), "max_model_len": options.max_model_len, "tokens": ids})
            case "POST", "/detokenize":
                self.reply(200, {"prompt": " ".join(f"t{i}" for i in json.loads(body)["tokens"])})
            case _:
                self.reply(404, {"detail": "Not Found"})

    def refuse(self, truth: dict[str, Any], status: int, message: str) -> None:
        truth["status"] = status
        error = {"message": message, "type": SERVER_ERRORS.get(status, "BadRequestError"), "code": status}
        self.reply(status, {"error": error})

    def reply(self, status: int, body: Any, kind: bytes = b"application/json") -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        words = SERVER_ERRORS.get(status, "OK")
        head = f"HTTP/1.1 {status} {words}\r\ncontent-length: {len(raw)}\r\ncontent-type: ".encode() + kind + b"\r\n"
        self.send(head + self.bye() + b"\r\n" + raw)
        if self.closing:
            self.transport.close()
        self.watch()

    def bye(self) -> bytes:
        return b"connection: close\r\n" if self.closing or self.mock.options.framing == "close" else b""

    def send(self, data: bytes) -> None:
        """To the kernel at once: uvloop's transport would write at the end of the loop's turn."""
        if self.gone or self.transport.is_closing():
            return
        sent = 0
        if not self.mock.options.certificate and not self.transport.get_write_buffer_size():
            with suppress(OSError):
                sent = os.write(self.fd, data)
        if sent < len(data):
            self.transport.write(data[sent:])

    def free(self) -> None:
        if self.answer is not None:
            self.mock.leave(self.answer)
            self.answer = None
        self.watch()

    def watch(self) -> None:
        """An idle connection is closed in time, where that was asked for."""
        if self.mock.options.keep_alive_s and not self.gone:
            self.idle = self.mock.loop.call_later(self.mock.options.keep_alive_s, self.transport.close)

    def reset(self) -> None:
        """Ends the connection with a TCP reset."""
        endless = socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno()))
        endless.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        endless.close()
        self.transport.abort()


def event(options: MockOptions, text: str) -> bytes:
    """One server-sent event, as one chunk of HTTP where it is chunked."""
    line = f"data:{' ' if options.space else ''}{text}{options.eol}{options.eol}".encode()
    return line if options.framing == "close" else b"%x\r\n%s\r\n" % (len(line), line)


def chunk(chat: bool, text: str | None, finish: str | None = None) -> str:
    """The JSON of a streamed chunk; text None = the one that names the role."""
    delta: dict[str, Any] = {"role": "assistant", "content": ""} if text is None else {"content": text}
    choice: dict[str, Any] = {"index": 0, "delta": delta} if chat else {"index": 0, "text": text}
    choice |= {"logprobs": None, "finish_reason": finish}
    kind = "chat.completion.chunk" if chat else "text_completion"
    return json.dumps({"id": "mock", "object": kind, "created": 1, "model": "mock", "choices": [choice]})


def asked(request: dict[str, Any]) -> int | None:
    """The most tokens that the request wants."""
    return request.get("max_completion_tokens") or request.get("max_tokens")


def length(options: MockOptions, request: dict[str, Any]) -> int:
    """Tokens of the answer."""
    if options.force_tokens:
        return options.force_tokens
    own, most = len(options.answer.split()) or options.tokens, asked(request) or 1 << 30
    wanted = most if request.get("ignore_eos") and most < 1 << 30 else max(own, request.get("min_tokens") or 0)
    return max(1, min(wanted, most))


def token_ids(request: dict[str, Any]) -> list[int]:
    """Of a prompt (text or ids) or of messages, by the toy rule."""
    if "messages" not in request:
        prompt = request["prompt"]
        return list(prompt) if isinstance(prompt, list) else words_to_ids(prompt)
    ids: list[int] = []
    for message in request["messages"]:
        content = message.get("content") or ""
        text = content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)
        ids += [1, *words_to_ids(text), 2, len(message["role"])]
    return [*ids, 3]


def words_to_ids(text: str) -> list[int]:
    return [word_id(word) for word in text.split()]


def word_id(word: str) -> int:
    if word[0] == "t" and word[1:].isdecimal():
        return int(word[1:]) % VOCABULARY
    return zlib.crc32(word.encode()) % VOCABULARY


def metrics(mock: Mock) -> str:
    """Prometheus text under vLLM's names; KV use is a toy: one per cent for each that runs."""
    label, c = f'{{model_name="{mock.options.model}",engine="0"}}', mock.counters
    blocks = f'{{block_size="{BLOCK}",num_gpu_blocks="10000",engine="0"}}'
    lines = [f"vllm:cache_config_info{blocks} 1.0"]
    for name, value in (
        ("num_requests_running", len(mock.running)), ("num_requests_waiting", len(mock.waiting)),
        ("kv_cache_usage_perc", min(1.0, len(mock.running) / 100)), ("num_preemptions_total", 0),
        ("prompt_tokens_total", c["prompt"]), ("generation_tokens_total", c["generation"]),
        ("prefix_cache_queries_total", c["queries"]), ("prefix_cache_hits_total", c["hits"]),
        ("iteration_tokens_total_sum", c["stepped"]), ("iteration_tokens_total_count", c["steps"]),
    ):  # fmt: skip
        lines.append(f"vllm:{name}{label} {float(value)}")
    lines += [
        f'vllm:request_success_total{label[:-1]},finished_reason="{reason}"}} {float(c[reason])}'
        for reason in ("stop", "length")
    ]
    for name, values in (("time_to_first_token_seconds", mock.ttft), ("e2e_request_latency_seconds", mock.e2e)):
        for bound in (*TTFT_BUCKETS, float("inf")):
            limit = "+Inf" if bound == float("inf") else bound
            count = float(sum(value <= bound for value in values))
            lines.append(f'vllm:{name}_bucket{label[:-1]},le="{limit}"}} {count}')
        lines += [f"vllm:{name}_sum{label} {sum(values)}", f"vllm:{name}_count{label} {float(len(values))}"]
    return "\n".join(lines) + "\n"


async def serve(options: MockOptions) -> None:
    """Listens until it is killed."""
    mock = Mock(options)
    context = None
    if options.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.certificate)
    server = await mock.loop.create_server(
        lambda: Connection(mock), "127.0.0.1", options.port, backlog=4096, ssl=context
    )
    gc.freeze()
    gc.disable()
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@dataclasses.dataclass(frozen=True, slots=True)
class MockProcess:
    """A running mock; `url` has no path."""

    process: "subprocess.Popen[str]"
    url: str

    def call(self, method: str, path: str) -> Any:
        request = urllib.request.Request(self.url + path, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.loads(answer.read())

    def stats(self) -> dict[str, Any]:
        return self.call("GET", "/stats")

    def reset(self) -> None:
        self.call("POST", "/reset")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def mock_server(**options: Any) -> Generator[MockProcess]:
    """A mock of these options (fields of MockOptions) in a process of its own, until the block is left."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, str(Path(__file__).resolve()), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on "), f"the mock did not start: {command}"
            yield MockProcess(process, f"http://{line.split()[-1]}")
        finally:
            process.kill()


def main() -> None:
    """Options are the fields of MockOptions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    for field in dataclasses.fields(MockOptions):
        kind = (lambda text: text in ("1", "True", "true")) if isinstance(field.default, bool) else type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    options = MockOptions(**vars(parser.parse_args()))
    import uvloop

    uvloop.run(serve(dataclasses.replace(options, eol=options.eol.replace("\\r", "\r").replace("\\n", "\n"))))


if __name__ == "__main__":
    main()
