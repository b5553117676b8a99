"""Makes workloads from a few numbers: when requests come and how long they are; reads no log and knows no engine.

Gaps, prompts and answers come from separate streams of one seed, so changing one option leaves the others as they were,
and a rate only stretches the same gaps (common random numbers).
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from costplan.errors import UsageError
from costplan.serving.workload import Workload
from costplan.units import parse_duration_s

MAX_LENGTH = 10_000_000
OPEN_ENDED_S = 600.0
OPEN_ENDED_REQUESTS = (1_000, 20_000)
"""An open-ended rate is watched for so long, but for at least and at most so many requests."""
EVEN_CV = 1e-3
"""Below this, gaps are even."""
_P95 = 1.6448536269514722
_EXAMPLES = "547, lognormal:547,1500, or a file with one length per line"


@dataclass(frozen=True, slots=True, eq=False)
class Lengths:
    """Tokens of a prompt or an answer."""

    text: str
    """As the user wrote it."""
    mu: float = 0.0
    sigma: float = 0.0
    """Of the logarithm; sigma 0 = every length is exp(mu)."""
    listed: NDArray[np.int64] | None = None
    """Drawn from with replacement."""

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.int32]:
        """So many lengths, each at least 1."""
        if self.listed is not None:
            return self.listed[rng.integers(0, len(self.listed), count)].astype(np.int32)
        sizes = np.exp(self.mu + self.sigma * rng.standard_normal(count))
        return np.clip(np.rint(sizes), 1, MAX_LENGTH).astype(np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A rate held for a while: `seconds` None = without end; rate infinity = all at once."""

    req_s: float
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Load:
    """What the command line says about traffic that comes from no log."""

    stages: tuple[Stage, ...] = ()
    """() = closed loop."""
    concurrency: int = 0
    requests: int | None = None
    cv: float = 1.0
    """Standard deviation of the gaps over their mean: 1 = Poisson, 0 = evenly spaced, above 1 = bursts."""
    input: Lengths
    output: Lengths
    prefix_share: float = 0.0
    seed: int = 0


def parse_lengths(text: str, option: str) -> Lengths:
    """`547`, `lognormal:mean,p95` or the name of a file with one length per line."""
    kind, _, rest = text.partition(":")
    if text.strip().isdecimal():
        length = int(text)
        if not 1 <= length <= MAX_LENGTH:
            raise UsageError(f"{option} {text}: a request needs from 1 to {MAX_LENGTH:,} tokens", hint=f"{option} 256")
        return Lengths(text, mu=math.log(length))
    if kind == "lognormal":
        return _lognormal(text, rest, option)
    if not Path(text).is_file():
        raise UsageError(f"{option} {text}: neither a length nor a file", hint=f"{option} takes {_EXAMPLES}")
    lengths: list[int] = []
    for number, line in enumerate(Path(text).read_text("utf-8", "replace").splitlines(), start=1):
        if line.strip():
            if not line.strip().isdecimal() or not 1 <= int(line) <= MAX_LENGTH:
                raise UsageError(f"{text}:{number}: not a length of at least 1 token", hint="one whole number per line")
            lengths.append(int(line))
    if not lengths:
        raise UsageError(f"{text}: holds no length", hint="one whole number per line")
    return Lengths(text, listed=np.array(lengths, dtype=np.int64))


def _lognormal(text: str, rest: str, option: str) -> Lengths:
    """Solves mean = exp(mu + s²/2) and p95 = exp(mu + 1.645 s) for mu and s."""
    try:
        mean, p95 = (float(part) for part in rest.split(","))
    except ValueError:
        raise UsageError(f"{option} {text}: not a mean and a p95", hint=f"{option} lognormal:547,1500") from None
    if not 1 <= mean <= p95 <= MAX_LENGTH or math.log(p95 / mean) > _P95**2 / 2:
        most = math.exp(_P95**2 / 2)
        raise UsageError(
            f"{option} {text}: no lognormal has that mean and p95",
            hint=f"the mean is at least 1, and the p95 between the mean and {most:.1f} times the mean",
        )
    sigma = _P95 - math.sqrt(_P95**2 - 2 * math.log(p95 / mean))
    return Lengths(text, mu=math.log(mean) - sigma**2 / 2, sigma=sigma)


def parse_rate(text: str) -> tuple[Stage, ...]:
    """`5`, `inf` or `8:600s,20:600s`."""
    stages: list[Stage] = []
    for part in text.split(","):
        rate, colon, seconds = part.partition(":")
        try:
            stage = Stage(req_s=float(rate), seconds=parse_duration_s(seconds) if colon else None)
        except ValueError:
            raise UsageError(f"--rate {text}: {part!r} is no rate", hint=_RATE_HINT) from None
        lasting = stage.seconds is None or stage.seconds > 0
        if not stage.req_s > 0 or not lasting or (math.isinf(stage.req_s) and colon):
            raise UsageError(f"--rate {text}: {part!r}: rates and durations are above 0", hint=_RATE_HINT)
        stages.append(stage)
    if len(stages) > 1 and any(stage.seconds is None for stage in stages):
        raise UsageError(f"--rate {text}: every stage needs a duration", hint=_RATE_HINT)
    return tuple(stages)


_RATE_HINT = "requests a second: --rate 5, --rate 8:600s,20:600s, or --rate inf --requests 1000"


def make(load: Load, block_size: int) -> Workload:
    """The requests of a load; the same bytes for the same load."""
    streams = np.random.SeedSequence(load.seed).spawn(3)
    gap_rng, input_rng, output_rng = (np.random.Generator(np.random.PCG64(stream)) for stream in streams)
    arrival = _arrivals(load, gap_rng)
    inputs, outputs = load.input.draw(len(arrival), input_rng), load.output.draw(len(arrival), output_rng)
    offsets, ids = shared_prefix(inputs, load.prefix_share, block_size)
    return Workload(
        arrival_s=arrival, input_tokens=inputs, output_tokens=outputs, shared_offsets=offsets, shared_ids=ids,
        block_size=block_size, concurrency=load.concurrency, open_ended=is_open_ended(load),
    )  # fmt: skip


def is_open_ended(load: Load) -> bool:
    """A rate that nothing ends."""
    return load.requests is None and len(load.stages) == 1 and load.stages[0].seconds is None


def at_rate(unit: Workload, req_s: float) -> Workload:
    """The same requests with gaps stretched: `unit` has one arrival a second on average."""
    return replace(unit, arrival_s=unit.arrival_s / req_s)


def first(workload: Workload, count: int) -> Workload:
    """The first `count` requests."""
    offsets = workload.shared_offsets[: count + 1]
    return replace(
        workload, arrival_s=workload.arrival_s[:count], input_tokens=workload.input_tokens[:count],
        output_tokens=workload.output_tokens[:count], shared_offsets=offsets,
        shared_ids=workload.shared_ids[: int(offsets[-1])],
    )  # fmt: skip


def pick(workload: Workload, keep: NDArray[np.bool_]) -> Workload:
    """Only some of the requests."""
    counts = np.diff(workload.shared_offsets)
    return replace(
        workload, arrival_s=workload.arrival_s[keep], input_tokens=workload.input_tokens[keep],
        output_tokens=workload.output_tokens[keep],
        shared_offsets=np.concatenate([[0], np.cumsum(counts[keep])]).astype(np.int64),
        shared_ids=workload.shared_ids[np.repeat(keep, counts)],
    )  # fmt: skip


def shared_prefix(
    inputs: NDArray[np.int32], share: float, block_size: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """(offsets, block numbers) where every prompt begins with that share of itself, in whole blocks of one text."""
    blocks = np.floor(inputs * share / block_size + 1e-9).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(blocks)]).astype(np.int64)
    ids = np.arange(offsets[-1], dtype=np.int64) - np.repeat(offsets[:-1], blocks)
    return offsets, ids.astype(np.int32)


def _gaps(count: int, cv: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Gamma-distributed gaps with mean 1."""
    return np.ones(count) if cv < EVEN_CV else rng.standard_gamma(1 / cv**2, count) * cv**2


def _arrivals(load: Load, rng: np.random.Generator) -> NDArray[np.float64]:
    if not load.stages or math.isinf(load.stages[0].req_s):
        return np.zeros(load.requests or 0)
    if load.stages[0].seconds is None:
        rate = load.stages[0].req_s
        least, most = OPEN_ENDED_REQUESTS
        count = load.requests or min(max(math.ceil(rate * OPEN_ENDED_S), least), most)
        return np.cumsum(_gaps(count, load.cv, rng)) / rate
    # gaps with mean 1 run on a clock that counts expected arrivals; the stages map it to seconds
    ends_s = np.cumsum([0.0, *(stage.seconds or 0.0 for stage in load.stages)])
    expected = np.cumsum([0.0, *(stage.req_s * (stage.seconds or 0.0) for stage in load.stages)])
    clock = np.zeros(0)
    while not len(clock) or clock[-1] < expected[-1]:
        more = np.cumsum(_gaps(int(expected[-1] * 1.1) + 100, load.cv, rng))
        clock = np.concatenate([clock, more + (clock[-1] if len(clock) else 0.0)])
    return np.interp(clock[clock < expected[-1]], expected, ends_s)
