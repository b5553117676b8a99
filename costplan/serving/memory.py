"""GPU memory of one engine replica: weights, activations, reserves and what is left for the KV cache.

    room = memory share x GPU memory - weights - activation peak - reserve        (vLLM: gpu_memory_utilization)

Knows no time. What does not fit is an error that names what would.
"""

from dataclasses import dataclass, replace
from math import ceil

from costplan.errors import CostplanError
from costplan.profiles.engines import Engine
from costplan.profiles.gpus import Gpu
from costplan.profiles.models import Model
from costplan.serving.precision import (
    Precision,
    dense_precision,
    find_precision,
    kv_value_bytes,
    smaller_precisions,
)
from costplan.serving.shapes import check_tp, dense, experts, head, kv_values

GIB = 1 << 30
# Defaults of the engine-dependent reserves; profiles/engines/*.yaml may override them under `speed`. The error against
# published start-up logs is in tests/serving/test_memory.py.
LOGIT_BYTES = 20.0  # sampler scratch per sequence and vocabulary entry: logits, softmax, sort and indices
RESERVE_GIB = 0.30  # CUDA context growth, cuBLAS workspaces, CUDA-graph pools counted by the profiling run
GROUP_RESERVE_GIB = 0.45  # NCCL and custom all-reduce buffers of a tensor-parallel group
MXFP4_TILE = 256  # kernels pad hidden and intermediate sizes of mxfp4 experts to this multiple


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes on each GPU of the replica."""

    budget_bytes: int
    """What the engine may use."""
    weights_bytes: int
    activation_bytes: int
    reserve_bytes: int
    kv_bytes: int
    """Room for the KV cache."""
    token_bytes: float
    """KV of one token in the layers with full attention."""
    window_token_bytes: float
    """KV of one token in sliding-window layers."""
    window: int
    block_size: int

    def request_bytes(self, tokens: int) -> float:
        """KV of one request of that many tokens; a window layer holds no more than its window, in whole blocks."""
        blocks = -(-tokens // self.block_size) * self.block_size
        held = min(blocks, (-(-self.window // self.block_size) + 1) * self.block_size) if self.window else 0
        return blocks * self.token_bytes + held * self.window_token_bytes

    def requests(self, tokens: int) -> int:
        """Requests of that length (prompt and answer) that fit at once."""
        return int(self.kv_bytes // self.request_bytes(tokens))

    def blocks(self, tokens: int = 2048) -> int:
        """KV blocks for the scheduler; with sliding windows as many as requests of `tokens` tokens would see."""
        per_block = self.request_bytes(tokens) * self.block_size / (-(-tokens // self.block_size) * self.block_size)
        return int(self.kv_bytes // per_block)

    def holding(self, blocks: int, tokens: int = 2048) -> "Memory":
        """The same memory with room for so many blocks, as a server has reported them."""
        per_block = self.request_bytes(tokens) * self.block_size / (-(-tokens // self.block_size) * self.block_size)
        return replace(self, kv_bytes=ceil(blocks * per_block))

    def tokens(self, tokens: int = 2048) -> int:
        """Tokens of KV that fit."""
        return self.blocks(tokens) * self.block_size


def memory(
    model: Model,
    gpu: Gpu,
    engine: Engine,
    *,
    tp: int = 1,
    precision: str = "bf16",
    kv_dtype: str = "auto",
    max_tokens: int | None = None,
    max_num_seqs: int | None = None,
    memory_share: float | None = None,
) -> Memory:
    """Memory of each GPU; raises when the weights leave no room for a KV cache worth the name (one 2048-token request).

    `max_tokens` and `max_num_seqs` (tokens and requests in a step) size the activation peak; None takes the engine's.
    """
    laid_out = _layout(model, gpu, engine, tp, precision, kv_dtype, max_tokens, max_num_seqs, memory_share)
    if laid_out.requests(2048) < 1:
        need = laid_out.weights_bytes + laid_out.activation_bytes + laid_out.reserve_bytes
        raise CostplanError(
            f"{model.id} in {precision} needs {need / GIB:.0f} GiB plus KV cache on each of {tp} GPUs; "
            f"{gpu.name} gives {laid_out.budget_bytes / GIB:.0f} GiB",
            hint=_what_fits(model, gpu, engine, tp, precision, kv_dtype),
        )
    return laid_out


def weight_bytes(model: Model, tp: int, precision: Precision) -> int:
    """Weights on one GPU: quantised matrices, and in 16 bits embeddings, head, router and norms."""
    body = dense_precision(precision)
    total = sum(m.parameters * (body.weight_bytes if m.quantised else 2.0) for m in dense(model, tp))
    routed = experts(model, tp)
    if routed is not None:
        share = 1.0
        if precision.name == "mxfp4":
            hidden, width = (-(-size // MXFP4_TILE) * MXFP4_TILE for size in (routed.hidden, routed.width))
            share = hidden * width / (routed.hidden * routed.width)
        total += routed.parameters * share * precision.weight_bytes
    embeddings = head(model, tp).parameters * (1 if model.tied_embeddings else 2)
    norms = 2 * model.hidden * model.layers
    return round(total + 2.0 * (embeddings + norms))


def _layout(
    model: Model,
    gpu: Gpu,
    engine: Engine,
    tp: int,
    precision: str,
    kv_dtype: str,
    max_tokens: int | None,
    max_num_seqs: int | None,
    memory_share: float | None,
) -> Memory:
    check_tp(model, tp)
    found = find_precision(precision, gpu)
    budget = gpu.memory_bytes * (engine.memory_share if memory_share is None else memory_share)
    weights = weight_bytes(model, tp, found)
    activation = _activation_bytes(
        model, tp, max_tokens or engine.max_num_batched_tokens, max_num_seqs or engine.max_num_seqs, engine
    )
    reserve_gib = engine.speed.values.get("reserve_gib", RESERVE_GIB)
    reserve = (reserve_gib + (GROUP_RESERVE_GIB if tp > 1 else 0.0)) * GIB
    values = kv_values(model, tp) * kv_value_bytes(kv_dtype)
    return Memory(
        budget_bytes=round(budget),
        weights_bytes=weights,
        activation_bytes=activation,
        reserve_bytes=round(reserve),
        kv_bytes=max(0, round(budget - weights - activation - reserve)),
        token_bytes=values * (model.layers - model.windowed_layers),
        window_token_bytes=values * model.windowed_layers,
        window=model.window,
        block_size=engine.block_size,
    )


def _activation_bytes(model: Model, tp: int, tokens: int, sequences: int, engine: Engine) -> int:
    """The larger of two peaks of the profiling run: the MLP of the largest step, or the sampler over the vocabulary.

    MLP: the residual stream twice, the gate and up outputs and their product, in 16 bits. The sampler works on the
    whole vocabulary on every GPU, which is why vLLM 0.6 reports the same 1.26 GiB for Llama-3-8B with one GPU and two
    (vllm-project/vllm#10511).
    """
    moe = model.moe
    width = model.width if moe is None else moe.width * moe.per_token + moe.shared_width
    mlp = tokens * 2.0 * (2 * model.hidden + (3 if model.gated else 2) * width / tp)
    sampler = sequences * model.vocab * engine.speed.values.get("logit_bytes", LOGIT_BYTES)
    return round(max(mlp, sampler))


def _what_fits(model: Model, gpu: Gpu, engine: Engine, tp: int, precision: str, kv_dtype: str) -> str:
    """The smallest changes that make room, as a hint."""

    def fits(split: int, kind: str) -> bool:
        try:
            laid_out = _layout(model, gpu, engine, split, kind, kv_dtype, None, None, None)
        except CostplanError:
            return False
        return laid_out.requests(2048) >= 1

    ways = [f"--precision {kind}" for kind in smaller_precisions(precision) if fits(tp, kind)][:1]
    ways += [f"--tp {split}" for split in (2, 4, 8, 16) if split > tp and fits(split, precision)][:1]
    if ways:
        return "use " + " or ".join(ways) + ", or a GPU with more memory"
    both = next((f"--tp {n} --precision {k}" for n in (2, 4, 8, 16) for k in ("fp8", "awq") if fits(n, k)), None)
    return f"use {both}" if both else "use a GPU with more memory"
