"""The folder of a replay as requests with their measured times, and what served them; fits nothing."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from costplan.errors import CostplanError
from costplan.profiles.engines import Engine, find_engine
from costplan.profiles.gpus import Gpu, find_gpu
from costplan.profiles.models import Model, find_model
from costplan.results.measurement import Measurement, RequestRecord
from costplan.serving.arrivals import shared_prefix
from costplan.serving.engine import EngineConfig
from costplan.serving.measured import overlapping
from costplan.serving.memory import memory
from costplan.serving.workload import Workload

MOST_REQUESTS = 600
"""Of a run are simulated, the first ones; the last of those meet a drain that the real run did not have."""
FEWEST_REQUESTS = 8
UNSEEN_HITS = 0.02
"""A share of prompt tokens found in the cache that may go unnoticed."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the user says of the server; None = as the measurement has it."""

    model: str | None = None
    gpu: str | None = None
    tp: int | None = None
    precision: str | None = None
    kv_dtype: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """One replay: the requests that were answered, in the order in which they were sent."""

    name: str
    document: Measurement
    workload: Workload
    start_s: Floats
    first_s: Floats
    last_s: Floats
    counted: int
    """Of the first so many requests the figures are compared; the rest only keep them company."""
    left_out: int
    """Requests that failed or were not sent."""
    most_in_flight: int

    @property
    def ttft_s(self) -> Floats:
        return self.first_s - self.start_s


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Deployment:
    """What was measured, every default filled in."""

    model: Model
    model_name: str
    gpu: Gpu
    tp: int
    precision: str
    kv_dtype: str
    engine: Engine
    config: EngineConfig
    blocks_known: bool
    notes: tuple[str, ...]
    """What was taken from a default since the server did not say."""


def read_run(folder: Path, block_size: int) -> Run:
    """Raises where there is nothing to fit: no answers, no token times, or a client that was the limit."""
    document = read_document(folder)
    if document.sweep is not None:
        raise CostplanError(
            f"{folder}: a sweep mixes loads", hint="replay with --concurrency 1, then 16, each to --out"
        )
    if not document.client.valid:
        reasons = "; ".join(document.client.reasons) or "no reason given"
        raise CostplanError(
            f"{folder}: the measurement is INVALID, the client was the limit: {reasons}",
            hint="replay again with less load",
        )
    records = _read_records(folder / "requests.jsonl")
    rows = sorted((row for row in records if _usable(row)), key=lambda row: (_start_s(row), row.index))
    if len(rows) < FEWEST_REQUESTS:
        raise CostplanError(
            f"{folder}: {len(rows)} of {len(records)} requests have an answer with token times, "
            f"{FEWEST_REQUESTS} are needed",
            hint="look at requests.jsonl for what failed; answers must be streamed",
        )
    left_out, cut, rows = len(records) - len(rows), len(rows) > MOST_REQUESTS, rows[:MOST_REQUESTS]
    start = np.array([_start_s(row) for row in rows])
    last = np.array([row.last_token_s for row in rows], np.float64)
    workload = _workload(document, rows, start, block_size)
    flying = workload.concurrency or overlapping(start, last)
    return Run(
        name=folder.name, document=document, workload=workload, start_s=start,
        first_s=np.array([row.first_token_s for row in rows], np.float64), last_s=last, left_out=left_out,
        counted=max(len(rows) - flying, len(rows) // 2) if cut else len(rows), most_in_flight=flying,
    )  # fmt: skip


def read_document(folder: Path) -> Measurement:
    """measurement.json of a folder."""
    path = folder / "measurement.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Measurement)
    except OSError as error:
        raise CostplanError(
            f"{path}: {error.strerror}", hint="name a folder that costplan replay --out wrote"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CostplanError(f"{path}: not a measurement: {error}", hint="replay again with --out") from None


def deployment_of(documents: list[Measurement], about: About) -> Deployment:
    """Model, GPU and limits that all runs have in common; raises where they differ or nobody knows them."""
    first = documents[0]
    for other in documents[1:]:
        for what, mine, its in zip(("model", "version", "flags"), _identity(first), _identity(other), strict=True):
            if mine != its:
                raise CostplanError(
                    f"the runs have different servers: {what} {mine or 'unknown'} and {its or 'unknown'}",
                    hint="fit runs of one server only",
                )
    server, config = first.server, first.config
    name = about.model or (config.model if config else server.model)
    model = model_of(name)
    gpu = find_gpu(about.gpu or (config.gpu if config else server.gpus[0] if server.gpus else "CPU"))
    tp = about.tp or (config.tp if config else int(_flag(server.flags, "--tensor-parallel-size", "-tp") or 1))
    # --dtype says how a server computes (float32 on many CPUs), not what the weights of the checkpoint are
    stated = _flag(server.flags, "--quantization", "-q")
    precision = about.precision or (config.precision if config else None) or stated or model.native_precision
    kv_dtype = about.kv_dtype or (config.kv_dtype if config else _flag(server.flags, "--kv-cache-dtype")) or "auto"
    notes: list[str] = []
    if server.kind != "vllm" or not server.version:
        notes.append("The server named no vLLM version: scheduler rules are those of the newest profile.")
    spec = f"vllm@{server.version}" if server.kind == "vllm" and server.version else "vllm"
    engine = find_engine(spec).on(gpu)
    limits = {"max_num_seqs": server.max_num_seqs, "max_num_batched_tokens": server.max_num_batched_tokens}
    for key, known in limits.items():
        stated = _flag(server.flags, "--" + key.replace("_", "-"))
        limits[key] = known or (int(stated) if stated and stated.isdecimal() else None)
        if limits[key] is None:
            notes.append(f"{key} is the engine's default: the server did not say.")
    blocks, size = server.kv_blocks, server.block_size or engine.block_size
    if blocks is None:
        notes.append("KV blocks are those of the memory model: the server did not say.")
        blocks = memory(model, gpu, engine, tp=tp, precision=precision, kv_dtype=kv_dtype).blocks()
    settings = EngineConfig(
        blocks=blocks, block_size=size, max_num_seqs=limits["max_num_seqs"] or engine.max_num_seqs,
        max_num_batched_tokens=limits["max_num_batched_tokens"] or engine.max_num_batched_tokens,
        prefix_caching=engine.prefix_caching and "--no-enable-prefix-caching" not in server.flags,
        chunked_prefill=engine.chunked_prefill, reserve_whole_prompt=engine.reserve_whole_prompt,
        watermark_blocks=int(engine.watermark * blocks),
    )  # fmt: skip
    return Deployment(
        model=model, model_name=model.id if model.name else name, gpu=gpu, tp=tp, precision=precision,
        kv_dtype=kv_dtype, engine=engine, config=settings, blocks_known=server.kv_blocks is not None,
        notes=tuple(notes),
    )  # fmt: skip


def _identity(document: Measurement) -> tuple[str, str, str]:
    server = document.server
    return server.model, server.version or "", " ".join(server.flags)


def model_of(name: str) -> Model:
    """By the name of its folder first: a server is often given a path. Raises CostplanError."""
    for each in (Path(name).name, name) if "/" in name else (name,):
        try:
            return find_model(each)
        except CostplanError:
            continue
    raise CostplanError(
        f"{name}: the server's name for the model is unknown here",
        hint="serve it under a name that costplan models lists, or as a folder with its config.json",
    )


def _flag(flags: list[str], *names: str) -> str | None:
    """The value of `--flag value` or `--flag=value`."""
    for flag, following in pairwise([*flags, ""]):
        if flag in names:
            return following or None
        key, equals, value = flag.partition("=")
        if equals and key in names:
            return value
    return None


def _read_records(path: Path) -> list[RequestRecord]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise CostplanError(
            f"{path}: {error.strerror}", hint="name a folder that costplan replay --out wrote"
        ) from None
    decoder = msgspec.json.Decoder(RequestRecord)
    found: list[RequestRecord] = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CostplanError(f"{path}:{number}: not a request: {error}", hint="replay again with --out") from None
    return found


def _usable(row: RequestRecord) -> bool:
    """Answered, with the times and counts a fit needs."""
    timed = row.first_token_s is not None and row.last_token_s is not None and row.first_token_s > _start_s(row)
    return row.state == "completed" and timed and _tokens(row)[0] > 0 and _tokens(row)[1] > 0


def _start_s(row: RequestRecord) -> float:
    """When the server could have known of it: what the client lost before is no property of the server."""
    return next((at for at in (row.sent_s, row.dispatched_s) if at is not None), row.due_s)


def _tokens(row: RequestRecord) -> tuple[int, int]:
    """(prompt, answer) as the server counted, else as asked for, else by the chunks."""
    prompt = row.input_tokens if row.input_tokens is not None else row.asked_input_tokens
    answer = row.output_tokens if row.output_tokens is not None else row.asked_output_tokens
    return prompt or 0, answer if answer is not None else len(row.gaps_s) + 1


def _workload(document: Measurement, rows: list[RequestRecord], start_s: Floats, block_size: int) -> Workload:
    """The very requests. Which of them share a prefix is not on record, so those with hits share one text's blocks."""
    inputs, outputs = np.array([_tokens(row) for row in rows], np.int32).T
    offsets, ids = shared_prefix(inputs, 0.0, block_size)
    hits = np.array([row.cached_tokens or 0 for row in rows], np.float64)
    if hits.any():
        offsets, ids = _prefixes(hits, block_size)
    elif (document.prefix_hit_share or 0.0) > UNSEEN_HITS:
        offsets, ids = shared_prefix(inputs, document.prefix_hit_share or 0.0, block_size)
    concurrency = document.workload.concurrency or 0
    if document.workload.kind == "closed-loop" and not concurrency:
        concurrency = document.client.peak_in_flight
    return Workload(
        arrival_s=start_s - start_s.min(), input_tokens=inputs, output_tokens=outputs, shared_offsets=offsets,
        shared_ids=ids, block_size=block_size, concurrency=concurrency,
    )  # fmt: skip


def _prefixes(hits: Floats, block_size: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    blocks = (hits // block_size).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(blocks)]).astype(np.int64)
    ids = np.arange(offsets[-1], dtype=np.int64) - np.repeat(offsets[:-1], blocks)
    return offsets, ids.astype(np.int32)
