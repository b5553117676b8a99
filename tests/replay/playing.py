"""Scripts made of request bodies, and what came of playing them."""

import json
import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from costplan.replay.script import Load, Script, Target
from costplan.replay.shards import play
from costplan.results.measurement import ClientFacts

LOCAL = Load(processes=1)


def body(**more: Any) -> dict[str, Any]:
    """A streamed completion of five tokens."""
    asked = {"model": "mock", "prompt": "one two three", "max_tokens": 5, "stream": True}
    return asked | {"stream_options": {"include_usage": True}} | more


def script_of(
    folder: Path, bodies: Sequence[dict[str, Any]], due_s: Sequence[float] | None = None,
    previous: Sequence[int] | None = None, think_s: Sequence[float] | None = None,
) -> Script:  # fmt: skip
    raw = [json.dumps(one).encode() for one in bodies]
    path = folder / "bodies.bin"
    path.write_bytes(b"".join(raw))
    n = len(raw)
    return Script(
        bodies=path,
        offsets=np.cumsum([0, *map(len, raw)]).astype(np.int64),
        due_s=np.asarray([0.0] * n if due_s is None else due_s, np.float64),
        previous=np.asarray([-1] * n if previous is None else previous, np.int64),
        think_s=np.asarray([0.0] * n if think_s is None else think_s, np.float64),
        input_tokens=np.full(n, 3, np.int32),
        output_tokens=np.array([one.get("max_tokens", -1) for one in bodies], np.int32),
    )


def played(
    folder: Path, url: str, script: Script, load: Load = LOCAL, headers: dict[str, str] | None = None
) -> tuple[ClientFacts, list[dict[str, Any]]]:
    """(facts, records in the order of the script); there is one for each request."""
    lines = folder / "requests.jsonl"
    facts = play(script, Target(url=f"{url}/v1/completions", headers=headers or {}), load, lines)
    return facts, records(lines, script.requests)


def records(path: Path, requests: int) -> list[dict[str, Any]]:
    found = sorted((json.loads(line) for line in path.read_bytes().splitlines()), key=lambda record: record["index"])
    assert [record["index"] for record in found] == list(range(requests))
    return found


@contextmanager
def canned(*answers: bytes, linger: bool = False) -> Generator[str]:
    """A server that takes one request on each connection, answers with the next bytes and closes (or never does)."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    waiting, ended = list(answers), threading.Event()

    def serve() -> None:
        held: list[socket.socket] = []
        while True:
            connection, _ = listener.accept()
            if ended.is_set():
                held.append(connection)
                break
            if read_request(connection) and waiting:
                connection.sendall(waiting.pop(0))
                if linger:
                    held.append(connection)
                    continue
            connection.close()
        for connection in held:
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    port = listener.getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        ended.set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join()
        listener.close()


def read_request(connection: socket.socket) -> bytes:
    """Head and body of one request; empty if the connection ends before."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65_536)):
            return b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(rest) < length:
        rest += connection.recv(65_536)
    return head + b"\r\n\r\n" + rest
