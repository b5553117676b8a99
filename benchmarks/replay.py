"""How far the replay client can be trusted: against a mock server of known truth, and beside a raw-socket client.

    python -m benchmarks.replay [bias] [lateness] [ceiling] [peers]

Everything runs on this machine, client and server on the same cores: a quiet machine is needed for the figures to mean
anything. The truth is the mock's own (tests/replay/mock_server.py): from the request's arrival to the first token's write.
"""

import argparse
import hashlib
import json
import re
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from costplan.replay.script import Load, Script, Target
from costplan.replay.shards import play
from costplan.results.measurement import ClientFacts
from tests.replay.mock_server import MockProcess, mock_server

TTFT_MS, ITL_MS, TOKENS = 100, 20, 50
PARTS = ("bias", "lateness", "ceiling", "peers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One run: what the client says and what the server saw, in the order of the script."""

    facts: ClientFacts
    records: list[dict[str, Any]]
    truth: list[dict[str, Any]]
    start_s: float
    """By time.monotonic()."""


def main() -> None:
    """Prints one table for each part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=PARTS)
    for part in parser.parse_args().parts:
        globals()[part]()
        print()


def bias() -> None:
    """Reported against true TTFT and TPOT at 1, 50 and 500 in flight."""
    print(f"closed loop, truth TTFT {TTFT_MS} ms, ITL {ITL_MS} ms, {TOKENS} tokens; means in ms")
    print(
        f"{'in flight':>9}{'requests':>9}{'TTFT':>8}{'p99':>8}{'from send':>10}{'server':>8}{'TPOT':>7}{'server':>7}{'CPU':>6}  valid"
    )
    for concurrency, requests in ((1, 8), (50, 300), (500, 1500)):
        with mock_server(ttft_ms=TTFT_MS, itl_ms=ITL_MS) as server:
            ran = run(server, np.zeros(requests), Load(concurrency=concurrency), TOKENS)
        ttft = column(ran.records, "first_token_s") - column(ran.records, "due_s")
        send = column(ran.records, "first_token_s") - column(ran.records, "sent_s")
        tpot = (column(ran.records, "last_token_s") - column(ran.records, "first_token_s")) / (TOKENS - 1)
        true = column(ran.truth, "first_s") - column(ran.truth, "arrival_s")
        true_tpot = (column(ran.truth, "last_s") - column(ran.truth, "first_s")) / (TOKENS - 1)
        means = [value * 1e3 for value in (ttft.mean(), np.quantile(ttft, 0.99), send.mean(), true.mean())]
        print(
            f"{concurrency:>9}{requests:>9}{means[0]:>8.1f}{means[1]:>8.1f}{means[2]:>10.1f}{means[3]:>8.1f}"
            f"{tpot.mean() * 1e3:>7.2f}{true_tpot.mean() * 1e3:>7.2f}{ran.facts.cpu_share:>6.0%}  {ran.facts.valid}"
        )


def lateness() -> None:
    """When requests came, by the server's clock and by the client's, against when they were due."""
    print("open loop: later than due, ms")
    print(
        f"{'req/s':>6}{'requests':>9}  {'server p50':>10}{'p99':>7}{'max':>7}  {'client p50':>10}{'p99':>7}{'max':>7}  valid"
    )
    for due_s in (spread(300, 14.5, bursts_s=(0.005, 0.02, 0.05)), spread(600, 2.9, bursts_s=(0.005,) * 8)):
        with mock_server(ttft_ms=TTFT_MS, itl_ms=ITL_MS) as server:
            ran = run(server, due_s, Load(), 10)
        seen = (column(ran.truth, "arrival_s") - ran.start_s - due_s) * 1e3
        said = [
            value * 1e3
            for value in (ran.facts.lateness_p50_s, ran.facts.lateness_p99_s, ran.facts.lateness_max_s)
            if value is not None
        ]
        p50, p99 = np.quantile(seen, (0.5, 0.99))
        print(
            f"{len(due_s) / due_s[-1]:>6.0f}{len(due_s):>9}  {p50:>10.2f}{p99:>7.2f}{seen.max():>7.2f}  "
            f"{said[0]:>10.2f}{said[1]:>7.2f}{said[2]:>7.2f}  {ran.facts.valid}"
        )


def ceiling() -> None:
    """Requests and tokens per second where the server takes no time, beside a client that only counts bytes."""
    print("ceiling: as fast as client and server go on these cores")
    print(f"{'what':<34}{'costplan':>10}{'raw socket':>11}{'ratio':>7}{'CPU us each':>13}")
    for name, tokens, concurrency, requests in (
        ("1-token requests/s, 64 in flight", 1, 64, 12_000),
        ("tokens/s, 500 each, 32 in flight", 500, 32, 256),
    ):
        with mock_server(force_tokens=tokens) as server:
            bodies = [body(row, tokens) for row in range(requests)]
            ours: list[float] = []
            raws: list[float] = []
            cost = 0.0
            for _ in range(3):  # in turns: whatever else runs on the machine befalls both
                ran = run(server, np.zeros(requests), Load(concurrency=concurrency, processes=1), tokens)
                ours.append(requests * tokens / ran.facts.wall_s)
                cost = ran.facts.cpu_share * ran.facts.wall_s / (requests * tokens) * 1e6
                server.reset()
                raws.append(requests * tokens / raw_client(server.url, bodies, concurrency))
                server.reset()
        ratio = float(np.median(ours) / np.median(raws))
        print(f"{name:<34}{np.median(ours):>10,.0f}{np.median(raws):>11,.0f}{ratio:>7.2f}{cost:>13.1f}")


def raw_client(url: str, bodies: list[bytes], concurrency: int) -> float:
    """Seconds for all bodies by non-blocking sockets and epoll: no parser, no clock, only the end of each answer."""
    place = urlsplit(url)
    head = b"POST /v1/completions HTTP/1.1\r\nHost: mock\r\nContent-Type: application/json\r\nContent-Length: "
    requests = iter([b"%b%d\r\n\r\n%b" % (head, len(one), one) for one in bodies])
    poll, sockets = select.epoll(), dict[int, socket.socket]()
    for _ in range(concurrency):
        one = socket.create_connection((place.hostname or "", place.port or 0))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.setblocking(False)
        sockets[one.fileno()] = one
        poll.register(one.fileno(), select.EPOLLIN)
    started, left = time.monotonic(), len(bodies)
    for one in sockets.values():
        one.send(next(requests))
    while left:
        for fd, _ in poll.poll():
            if sockets[fd].recv(262_144).endswith(b"\r\n0\r\n\r\n"):
                left -= 1
                if (request := next(requests, None)) is not None:
                    sockets[fd].send(request)
    taken = time.monotonic() - started
    for one in sockets.values():
        one.close()
    return taken


def peers() -> None:
    """The same closed loop by other tools, where they are installed."""
    print("peers, 50 in flight, 300 requests: reported mean TTFT, ms")
    common = ["--num-prompts", "300", "--max-concurrency", "50"]
    for name, module, command, pattern in (
        ("vllm bench serve", "vllm", ["vllm", "bench", "serve", "--backend", "openai", "--model", "mock", "--dataset-name",
         "random", "--random-input-len", "16", "--random-output-len", str(TOKENS), *common, "--base-url"],
         r"Mean TTFT \(ms\):\s+([\d.]+)"),
        ("aiperf", "aiperf", ["aiperf", "profile", "-m", "mock", "--endpoint-type", "completions", "--streaming",
         "--concurrency", "50", "--request-count", "300", "--url"], r"Time to First Token[^\d]*([\d.]+)"),
        ("guidellm", "guidellm", ["guidellm", "run", "--profile", "kind=concurrent,rate=50", "--max-requests", "300",
         "--target"], r"TTFT[^\d]*([\d.]+)"),
    ):  # fmt: skip
        if find_spec(module) is None or shutil.which(command[0]) is None:
            print(f"{name:<18} not installed: left out")
            continue
        with mock_server(ttft_ms=TTFT_MS, itl_ms=ITL_MS, tokens=TOKENS) as server:
            done = subprocess.run([*command, server.url], capture_output=True, text=True, check=False, timeout=300)
        found = re.search(pattern, done.stdout)
        print(f"{name:<18} {found[1] if found else f'no figure (exit code {done.returncode})'}")


def run(server: MockProcess, due_s: np.ndarray[Any, Any], load: Load, tokens: int) -> Ran:
    """Plays len(due_s) requests for so many tokens each."""
    bodies = [body(row, tokens) for row in range(len(due_s))]
    with TemporaryDirectory() as folder:
        path, lines = Path(folder) / "bodies", Path(folder) / "requests.jsonl"
        path.write_bytes(b"".join(bodies))
        n = len(bodies)
        script = Script(
            bodies=path, offsets=np.cumsum([0, *map(len, bodies)]).astype(np.int64), due_s=due_s,
            previous=np.full(n, -1, np.int64), think_s=np.zeros(n), input_tokens=np.full(n, 8, np.int32),
            output_tokens=np.full(n, tokens, np.int32),
        )  # fmt: skip
        facts = play(script, Target(url=f"{server.url}/v1/completions"), load, lines)
        records = sorted(map(json.loads, lines.read_bytes().splitlines()), key=lambda record: record["index"])
    start_s = datetime.fromisoformat(facts.started_at).timestamp() - time.time() + time.monotonic()
    truth = {request["body"]: request for request in server.stats()["requests"]}
    if [record["index"] for record in records if record["state"] == "completed"] != list(range(n)):
        raise SystemExit(f"not every request was completed: {facts}")
    ordered = [truth[hashlib.blake2b(one, digest_size=8).hexdigest()] for one in bodies]
    return Ran(facts=facts, records=records, truth=ordered, start_s=start_s)


def body(row: int, tokens: int) -> bytes:
    """A request that no other equals."""
    return json.dumps(
        {"model": "mock", "prompt": [row % 50_000, *range(1, 8)], "max_tokens": tokens, "ignore_eos": True, "stream": True,
         "stream_options": {"include_usage": True}, "user": str(row)}
    ).encode()  # fmt: skip


def spread(requests: int, seconds: float, *, bursts_s: Iterable[float]) -> np.ndarray[Any, Any]:
    """Poisson arrivals and bursts of 25, each within so many seconds."""
    rng = np.random.default_rng(4)
    bursts = [
        np.sort(rng.uniform(0, length, 25)) + at for length, at in zip(bursts_s, rng.uniform(0.1, 0.9, 99) * seconds)
    ]
    single = rng.uniform(0, seconds, requests - 25 * len(bursts))
    return np.sort(np.concatenate([*bursts, single]))


def column(rows: list[dict[str, Any]], name: str) -> np.ndarray[Any, Any]:
    """One figure of all of them."""
    return np.array([row[name] for row in rows], np.float64)


if __name__ == "__main__":
    main()
