"""How far the replay client can be trusted: against a mock server of known truth, and beside a raw-socket client.

    python -m benchmarks.replay [bias] [lateness] [ceiling] [peers]

Everything runs on this machine, client and server on the same cores: a quiet machine is needed for the figures to mean
anything. The truth is the mock's own (tests/replay/mock_server.py), from the arrival of a request to the
write of its first token.
"""

import argparse
import hashlib
import json
import os
import re
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
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
ROOT = Path(__file__).resolve().parents[1]
Call = Callable[..., str]
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
    names = f"{'TTFT':>8}{'p99':>8}{'from send':>10}{'server':>8}{'TPOT':>7}{'server':>7}{'CPU':>6}  valid"
    print(f"{'in flight':>9}{'requests':>9}{names}")
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
    names = "".join(f"  {f'{who} p50':>10}{'p99':>7}{'max':>7}" for who in ("server", "client"))
    print(f"{'req/s':>6}{'requests':>9}{names}  valid")
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
    """The same closed loop by other tools: vLLM's own from `make vllm`, others from .benchmarks/peer-NAME (a venv)."""
    print(f"peers, 50 in flight, 300 requests, truth TTFT {TTFT_MS} ms: reported means in ms")
    names = ("vllm bench serve", "aiperf", "guidellm")
    pythons = (ROOT / ".venv-vllm/bin/python", ROOT / ".benchmarks/peer-aiperf/bin/python")
    pythons += (ROOT / ".benchmarks/peer-guidellm/bin/python",)
    for name, python, reported in zip(names, pythons, (_vllm, _aiperf, _guidellm), strict=True):
        if not python.exists():
            print(f"{name:<18} not installed: left out")
            continue
        with TemporaryDirectory() as folder, mock_server(ttft_ms=TTFT_MS, itl_ms=ITL_MS, tokens=TOKENS) as server:
            environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": _tokenizer_cache(folder)}

            def call(*command: str, environment: dict[str, str] = environment, folder: str = folder) -> str:
                done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=folder)
                return done.stdout

            found = reported(call, python, server.url, Path(folder))
            true = np.mean([each["first_s"] - each["arrival_s"] for each in server.stats()["requests"]]) * 1e3
        print(f"{name:<18} TTFT {found[0]:.1f}, TPOT {found[1]:.2f}, the server's own TTFT {true:.1f}")


def _tokenizer_cache(folder: str) -> str:
    """A Hugging Face cache that holds the tokenizer of the tests' model as `local/model`."""
    place = Path(folder) / "hf/hub/models--local--model"
    (place / "refs").mkdir(parents=True)
    (place / "refs/main").write_text("0" * 40)
    (place / "snapshots" / ("0" * 40)).mkdir(parents=True)
    for file in (ROOT / ".venv-vllm/models/smollm2-135m").glob("*.json"):
        shutil.copy(file, place / "snapshots" / ("0" * 40))
    return str(Path(folder) / "hf")


def _vllm(call: Call, python: Path, url: str, folder: Path) -> tuple[float, float]:
    # the CPU wheel has no metadata under the name that the `vllm` command asks for
    program = (
        "from vllm.benchmarks.serve import add_cli_args, main\n"
        "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
        "parser = FlexibleArgumentParser(); add_cli_args(parser); main(parser.parse_args())"
    )
    said = call(
        str(python), "-c", program, "--backend", "openai", "--model", "mock", "--tokenizer", "local/model",
        "--dataset-name", "random", "--random-input-len", "16", "--random-output-len", str(TOKENS), "--ignore-eos",
        "--num-prompts", "300", "--max-concurrency", "50", "--base-url", url,
    )  # fmt: skip
    ttft, tpot = (re.search(rf"Mean {name} \(ms\):\s+([\d.]+)", said) for name in ("TTFT", "TPOT"))
    return (float(ttft[1]), float(tpot[1])) if ttft and tpot else (np.nan, np.nan)


def _aiperf(call: Call, python: Path, url: str, folder: Path) -> tuple[float, float]:
    call(
        str(python.with_name("aiperf")), "profile", "-m", "mock", "--tokenizer", "local/model", "--endpoint-type",
        "completions", "--streaming", "--synthetic-input-tokens-mean", "16", "--output-tokens-mean", str(TOKENS),
        "--extra-inputs", "ignore_eos:true", "--concurrency", "50", "--request-count", "300", "--ui", "none",
        "--url", url,
    )  # fmt: skip
    found = json.loads(next(folder.glob("artifacts/*/profile_export_aiperf.json")).read_bytes())
    return found["time_to_first_token"]["avg"], found["inter_token_latency"]["avg"]


def _guidellm(call: Call, python: Path, url: str, folder: Path) -> tuple[float, float]:
    said = call(
        str(python.with_name("guidellm")), "run", "--backend", f"kind=openai_http,target={url},model=mock",
        "--profile", "kind=concurrent,streams=50", "--tokenizer", "kind=huggingface_auto,model=local/model",
        "--data", f"kind=synthetic_text,prompt_tokens=16,output_tokens={TOKENS}",
        "--constraint", "kind=max_requests,count=300", "--disable-progress",
    )  # fmt: skip
    # | strategy | latency: mean, median, p95 | TTFT: the same | TTFOT | ITL | TPOT |
    table = said.partition("Request Latency Statistics")[2]
    row = next((line for line in table.splitlines() if line.startswith("| concurrent@50")), "|" * 12)
    cells = [cell.split("±")[0].strip() or "nan" for cell in row.split("|")]
    return float(cells[5]), float(cells[11])


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
    prompt = [row % 50_000, *range(1, 8)]
    asked = {"model": "mock", "prompt": prompt, "max_tokens": tokens, "ignore_eos": True, "user": str(row)}
    return json.dumps(asked | {"stream": True, "stream_options": {"include_usage": True}}).encode()


def spread(requests: int, seconds: float, *, bursts_s: Iterable[float]) -> np.ndarray[Any, Any]:
    """Poisson arrivals and bursts of 25, each within so many seconds."""
    rng = np.random.default_rng(4)
    bursts = [rng.uniform(0, length, 25) + rng.uniform(0.1, 0.9) * seconds for length in bursts_s]
    single = rng.uniform(0, seconds, requests - 25 * len(bursts))
    return np.sort(np.concatenate([*bursts, single]))


def column(rows: list[dict[str, Any]], name: str) -> np.ndarray[Any, Any]:
    """One figure of all of them."""
    return np.array([row[name] for row in rows], np.float64)


if __name__ == "__main__":
    main()
