"""Requests simulated per second and core, beside a plain simpy model of the same engine.

    python -m benchmarks.simulate [--requests 500000]

One replica, Poisson arrivals, 512 prompt tokens of which half are one of 200 shared prefixes, 250 output tokens, prefix
cache on. The simpy model takes the same steps one by one, without blocks or prefixes (install it: `pip install simpy`).
"""

import argparse
import time
from collections import deque
from collections.abc import Generator
from typing import Any

import numpy as np
from costplan.serving.engine import EngineConfig
from costplan.serving.simulator import simulate
from costplan.serving.step_time import StepTime
from costplan.serving.workload import Workload

INPUT, OUTPUT, BLOCK, PREFIXES = 512, 250, 16, 200
CONFIG = EngineConfig(blocks=27_000, block_size=BLOCK)
STEP = StepTime(
    base_s=0.006 + np.maximum(0.0, np.arange(8193, dtype=np.float64) * 25e-6 - 0.002),
    pair_s=2e-9,
    context_token_s=6.5e-8,
    request_s=5e-6,
)  # an 8B model on one large GPU, about


def main() -> None:
    """Prints one line per way of simulating."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--requests", type=int, default=500_000)
    args = parser.parse_args()
    simulate(CONFIG, STEP, workload(5_000, 12.0))  # loads or compiles the loop
    print(f"{'way':<28}{'rate/s':>8}{'requests':>10}{'mean batch':>12}{'wall s':>9}{'CPU s':>9}{'requests/s':>12}")
    for rate in (12.0, 25.0, 32.0):
        load = workload(args.requests, rate)
        wall, cpu = time.perf_counter(), time.process_time()
        run = simulate(CONFIG, STEP, load)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        batch = OUTPUT * args.requests / run.steps[0]
        row("costplan, prefix hashing", rate, args.requests, batch, wall, cpu)
    few = workload(2_000, 18.0, shared=False)
    started = time.process_time()
    plain = simulate(CONFIG, STEP, few, compiled=False)
    row("costplan, not compiled", 18.0, 2_000, OUTPUT * 2_000 / plain.steps[0], 0.0, time.process_time() - started)
    started = time.process_time()
    done_s = simpy_engine(few)
    row("simpy, step by step", 18.0, 2_000, OUTPUT * 2_000 / plain.steps[0], 0.0, time.process_time() - started)
    print(f"largest difference between simpy's and costplan's end times: {np.abs(done_s - plain.done_s).max():.2e} s")


def row(way: str, rate: float, requests: int, batch: float, wall: float, cpu: float) -> None:
    """One line of the table; requests per second are per CPU-second."""
    print(f"{way:<28}{rate:>8.0f}{requests:>10,}{batch:>12.1f}{wall:>9.2f}{cpu:>9.2f}{requests / cpu:>12,.0f}")


def workload(requests: int, rate: float, *, shared: bool = True) -> Workload:
    """Seeded arrivals; with `shared`, half of each prompt is one of PREFIXES prefixes."""
    rng = np.random.default_rng(7)
    blocks = INPUT // 2 // BLOCK if shared else 0
    prefix = rng.integers(0, PREFIXES, requests)
    return Workload(
        arrival_s=np.cumsum(rng.exponential(1 / rate, requests)),
        input_tokens=np.full(requests, INPUT, np.int32),
        output_tokens=np.full(requests, OUTPUT, np.int32),
        shared_offsets=np.arange(requests + 1) * blocks,
        shared_ids=(prefix[:, None] * blocks + np.arange(blocks)).ravel().astype(np.int32),
    )


def simpy_engine(load: Workload) -> Any:
    """End times of the requests in a simpy process that takes every step of every request."""
    import simpy

    env: Any = simpy.Environment()
    waiting: deque[int] = deque()
    done_s = np.zeros(load.requests)
    wake = [env.event()]

    def arrivals() -> Generator[Any]:
        for i, moment in enumerate(load.arrival_s.tolist()):
            yield env.timeout(moment - env.now)
            waiting.append(i)
            if not wake[0].triggered:
                wake[0].succeed()

    def engine() -> Generator[Any]:
        prompts: dict[int, int] = {}
        decoding: dict[int, int] = {}
        while True:
            if not (waiting or prompts or decoding):
                wake[0] = env.event()
                yield wake[0]
            budget, pairs, chunks = CONFIG.max_num_batched_tokens - len(decoding), 0.0, dict[int, int]()
            while True:
                i = next((i for i in prompts if i not in chunks), -1)
                if i < 0 and budget and waiting and len(prompts) + len(decoding) < CONFIG.max_num_seqs:
                    i = waiting.popleft()
                    prompts[i] = 0
                if i < 0:
                    break
                chunks[i] = min(budget, INPUT - prompts[i])
                budget -= chunks[i]
                pairs += chunks[i] * (prompts[i] + 0.5 * (chunks[i] + 1))
            context = sum(INPUT + emitted for emitted in decoding.values())
            working = len(decoding) + sum(1 for chunk in chunks.values() if chunk)
            seconds = float(STEP.base_s[sum(chunks.values()) + len(decoding)]) + STEP.pair_s * pairs
            yield env.timeout(seconds + STEP.context_token_s * context + STEP.request_s * working)
            for i in list(decoding):
                decoding[i] += 1
                if decoding[i] == OUTPUT:
                    done_s[i] = env.now
                    del decoding[i]
            for i, chunk in chunks.items():
                prompts[i] += chunk
                if prompts[i] == INPUT:
                    del prompts[i]
                    decoding[i] = 1

    env.process(arrivals())
    env.process(engine())
    env.run(until=float(load.arrival_s[-1]) + 600.0)
    return done_s


if __name__ == "__main__":
    main()
