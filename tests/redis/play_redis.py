"""Plays log.json through a redis-server of its own: GET, or SET with a time to live; the server's clock is the log's.

clock.c, loaded before the C library, tells the server the time that stands in a file: hours pass between two commands.
"""

import json
import os
import subprocess
import time
from mmap import mmap
from pathlib import Path

import redis

START_MS = 1_750_000_000_000
PATIENCE_S = 20
CLOCK, LIBRARY, SOCKET = (Path(name).absolute() for name in ("clock", "clock.so", "socket"))
log = json.loads(Path("log.json").read_text("utf-8"))


def connected() -> redis.Redis:
    """A client of the server, as soon as that listens."""
    deadline = time.monotonic() + PATIENCE_S
    while not SOCKET.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return redis.Redis(unix_socket_path=str(SOCKET), decode_responses=True)


def clock_of(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return seconds * 1000 + micros // 1000


def play(client: redis.Redis, clock: mmap) -> list[int]:
    """The event whose answer each request got, -1 = a miss."""
    ttl_ms, sliding = round(log["ttl_s"] * 1000), log["policy"] == "sliding"
    sources = []
    for event, (text, time_ms) in enumerate(zip(log["text"], log["time_ms"], strict=True)):
        clock[:8] = ((START_MS + time_ms) * 1000).to_bytes(8, "little")
        held = client.getex(f"answer:{text}", px=ttl_ms) if sliding else client.get(f"answer:{text}")
        if held is None:
            client.set(f"answer:{text}", event, px=ttl_ms)
        sources.append(-1 if held is None else int(held))
        if event % 500 == 0:
            assert clock_of(client) == START_MS + time_ms, "the server does not read the log's clock"
    return sources


subprocess.run(("cc", "-O1", "-shared", "-fPIC", "-o", LIBRARY, Path(__file__).with_name("clock.c")), check=True)
CLOCK.write_bytes((START_MS * 1000).to_bytes(8, "little"))
flags = ("--port", "0", "--unixsocket", SOCKET, "--save", "", "--appendonly", "no")
told_clock = {**os.environ, "LD_PRELOAD": str(LIBRARY), "LOG_CLOCK": str(CLOCK)}
with Path("server.log").open("w") as told, CLOCK.open("r+b") as file, mmap(file.fileno(), 8) as clock:
    server = subprocess.Popen(("redis-server", *flags), env=told_clock, stdout=told, stderr=told)
    try:
        sources = play(connected(), clock)
    finally:
        server.terminate()
        server.wait(PATIENCE_S)
Path("sources.json").write_text(json.dumps(sources), "utf-8")
