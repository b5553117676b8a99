"""Step time from first principles: each kernel against the data sheet, plus what the engine adds on the host.

One step over T tokens costs, per layer, its matrix products (weights read once, 2 operations per weight and token),
attention, normalisation and, in a tensor-parallel group, two all-reduces; then the output head and the host's share:

    products    Product.seconds (serving.kernels), experts by the number of distinct ones that T tokens touch
    attention   pairs x operations / (share x peak)  for prompts,  KV bytes / (share x bandwidth)  for decoding
    all-reduce  start + 2 (n-1)/n x bytes / (share x link)       ring cost, Thakur et al. 2005, section 4.4
    host        step + request x N, hidden or not as the engine's profile has been fitted

The coefficients of the host and of the glue between kernels come from `speed` in profiles/engines/*.yaml.
"""

import numpy as np
from numpy.typing import NDArray

from costplan.profiles.engines import Engine
from costplan.profiles.gpus import Gpu
from costplan.profiles.models import Model
from costplan.serving.kernels import Kernels, Peak, Product, find_kernels
from costplan.serving.precision import Precision, dense_precision, find_precision, kv_value_bytes
from costplan.serving.shapes import Experts, Matrix, check_tp, dense, experts, head, kv_values, pair_flops
from costplan.serving.step_time import StepTime

Floats = NDArray[np.float64]

# What `speed` may hold, and the value where a profile is silent.
SPEED_DEFAULTS = {
    "compute_scale": 1.0,  # arithmetic of matrix products against the measured kernels (clocks fall under load)
    "weights_scale": 1.0,  # reading weights, likewise
    "traffic_scale": 1.0,  # activations around a product; engines that quantise them on the way move less
    "experts_scale": 1.0,
    "experts_compute_scale": 1.0,  # their arithmetic alone: large steps lose more, to routing and uneven experts
    "attention_scale": 1.0,
    "kv_scale": 1.0,
    "layer_us": 8.0,  # small kernels of a layer: norms, rotary embedding, cache writes, residuals
    "layer_traffic": 8.0,  # bytes they move, in multiples of the 16-bit hidden state
    "group_start_us": 8.0,  # one all-reduce, NVLink
    "group_start_pcie_us": 25.0,
    "group_share": 0.55,  # of the link
    "group_share_pcie": 0.35,
    "graph_tokens": 512.0,  # largest step replayed as CUDA graphs
    "eager_layer_us": 250.0,  # launching a layer without graphs: the GPU cannot be faster than the host
    "step_ms": 1.0,  # scheduling, sampling and output per step that the GPU waits for
    "request_us": 4.0,  # the same per request in the step
    "token_us": 0.0,  # input preparation per token
    "frontend_ms": 16.0,
    "frontend_token_us": 45.0,
}


def roofline(
    model: Model,
    gpu: Gpu,
    engine: Engine,
    *,
    tp: int = 1,
    precision: str = "bf16",
    kv_dtype: str = "auto",
    max_tokens: int | None = None,
    max_num_seqs: int | None = None,
) -> StepTime:
    """Step times of one replica on `tp` GPUs, for steps of up to `max_tokens` tokens (None: the engine's limit)."""
    check_tp(model, tp)
    speed = coefficients(engine)
    kernels = find_kernels(gpu.architecture)
    weights = find_precision(precision, gpu)
    sequences = max_num_seqs or engine.max_num_seqs
    tokens = np.arange((max_tokens or engine.max_num_batched_tokens) + 1, dtype=np.float64)
    tokens[0] = 1.0  # never used, but must not divide by zero
    wide = Peak(gpu.flops["bf16"], gpu.bandwidth_bytes_s)

    attention = kernels.attention.get(_attention_kernel(engine, gpu), next(iter(kernels.attention.values())))
    pair_s = speed["attention_scale"] * pair_flops(model, tp) / (attention.compute * wide.flops)
    full_layers = model.layers - model.windowed_layers
    windowed_pairs = np.minimum(tokens, model.window) if model.windowed_layers else np.zeros_like(tokens)

    layers_s = _dense_seconds(dense(model, tp), tokens, kernels, gpu, weights, speed)
    routed = experts(model, tp)
    if routed is not None:
        layers_s += _expert_seconds(routed, tokens, kernels, gpu, weights, speed)
    layers_s += model.layers * pair_s * attention.half_tokens * tokens
    layers_s += model.windowed_layers * pair_s * windowed_pairs * tokens
    layers_s += model.layers * _glue_seconds(model, tokens, kernels, wide, speed)
    layers_s += 2 * model.layers * _all_reduce_seconds(model, tokens, gpu, tp, speed)
    eager = model.layers * speed["eager_layer_us"] * 1e-6
    layers_s = np.where(tokens > speed["graph_tokens"], np.maximum(layers_s, eager), layers_s)
    sampled = np.minimum(tokens, float(sequences))
    head_s = _matrix_seconds(head(model, tp), sampled, kernels.products["bf16"], wide, 2.0, _scales(speed, "bf16"))

    per_layer_kv = kv_values(model, tp) * kv_value_bytes(kv_dtype)
    reached = kernels.kv_bandwidth_fp8 if kv_value_bytes(kv_dtype) == 1.0 else kernels.kv_bandwidth
    kv_s = speed["kv_scale"] * per_layer_kv / (reached * wide.bytes_s)
    heads_s = kernels.request_head_ns * 1e-9 * model.heads / tp * model.layers
    return StepTime(
        base_s=layers_s + head_s + speed["step_ms"] * 1e-3 + speed["token_us"] * 1e-6 * tokens,
        pair_s=full_layers * pair_s,
        context_token_s=full_layers * kv_s,
        window_token_s=model.windowed_layers * kv_s,
        window=model.window if model.windowed_layers else 0,
        request_s=speed["request_us"] * 1e-6 + heads_s,
        frontend_s=speed["frontend_ms"] * 1e-3,
        frontend_token_s=speed["frontend_token_us"] * 1e-6,
    )


def coefficients(engine: Engine) -> dict[str, float]:
    """The engine's coefficients over the defaults; `name.default` stands for the plain name."""
    given = engine.speed.values
    plain = {key.removesuffix(".default"): value for key, value in given.items() if key.endswith(".default")}
    return SPEED_DEFAULTS | given | plain


def with_draft(step: StepTime, draft: StepTime, draft_tokens: int) -> StepTime:
    """Speculative decoding: before each step the draft model runs `draft_tokens` times, one token per request.

    A step that verifies T tokens serves T / (draft_tokens + 1) requests, so that is the draft's batch. The draft's
    prompt work and its time per request are counted once.
    """
    tokens = np.arange(len(step.base_s))
    batch = np.clip(tokens // (draft_tokens + 1), 1, len(draft.base_s) - 1)
    return StepTime(
        base_s=step.base_s + draft_tokens * draft.base_s[batch],
        pair_s=step.pair_s + draft.pair_s,
        context_token_s=step.context_token_s + draft_tokens * draft.context_token_s,
        window_token_s=step.window_token_s + draft_tokens * draft.window_token_s,
        window=max(step.window, draft.window),
        request_s=step.request_s + draft.request_s,
        frontend_s=step.frontend_s,
        frontend_token_s=step.frontend_token_s,
        basis=step.basis,
    )


def _attention_kernel(engine: Engine, gpu: Gpu) -> str:
    return engine.attention.get(gpu.architecture, engine.attention.get("default", "fa2"))


def _product(kernels: dict[str, Product], name: str) -> Product:
    """The measured kernel, else the nearest in kind: integer like 8-bit floats, unpacking ones like each other."""
    alike = {"int8": ("fp8",), "w8a16": ("int4", "bf16"), "int4": ("w8a16", "bf16"), "mxfp4": ("int4", "bf16")}
    for candidate in (name, *alike.get(name, ()), "bf16"):
        if candidate in kernels:
            return kernels[candidate]
    raise AssertionError("every architecture has bf16 products")


def _scales(speed: dict[str, float], kernel: str) -> tuple[float, float, float]:
    """(arithmetic, weights, activations): time over that of the measured kernel; `compute_scale.fp8` goes first."""
    compute, weights, traffic = (
        speed.get(f"{name}.{kernel}", speed[name]) for name in ("compute_scale", "weights_scale", "traffic_scale")
    )
    return compute, weights, traffic


def _matrix_seconds(
    matrix: Matrix,
    tokens: Floats,
    product: Product,
    peak: Peak,
    weight_bytes: float,
    scales: tuple[float, float, float],
) -> Floats:
    operations = 2.0 * matrix.columns * (tokens * matrix.rows + product.tile)
    activations = 2.0 * tokens * (matrix.rows + matrix.columns)
    weights = np.full_like(tokens, matrix.rows * matrix.columns * weight_bytes)
    return matrix.layers * product.seconds(scales[0] * operations, scales[1] * weights, scales[2] * activations, peak)


def _dense_seconds(
    matrices: tuple[Matrix, ...],
    tokens: Floats,
    kernels: Kernels,
    gpu: Gpu,
    precision: Precision,
    speed: dict[str, float],
) -> Floats:
    total = np.zeros_like(tokens)
    body = dense_precision(precision)
    for matrix in matrices:
        kind = body if matrix.quantised else find_precision("bf16", gpu)
        peak = Peak(gpu.flops[kind.arithmetic], gpu.bandwidth_bytes_s)
        product, scales = _product(kernels.products, kind.kernel), _scales(speed, kind.kernel)
        total += _matrix_seconds(matrix, tokens, product, peak, kind.weight_bytes, scales)
    return total


def _expert_seconds(
    routed: Experts, tokens: Floats, kernels: Kernels, gpu: Gpu, precision: Precision, speed: dict[str, float]
) -> Floats:
    """The distinct experts E(1-(1-k/E)^T) are read; arithmetic is done by the k active ones of each token."""
    product = _product(kernels.experts, precision.kernel)
    peak = Peak(gpu.flops[precision.arithmetic], gpu.bandwidth_bytes_s)
    distinct = routed.experts * (1.0 - (1.0 - routed.per_token / routed.experts) ** tokens)
    rows = tokens * routed.per_token
    compute_scale = speed.get(f"experts_compute_scale.{precision.kernel}", speed["experts_compute_scale"])
    operations = 2.0 * routed.expert_parameters * (rows + product.tile * distinct) * compute_scale
    activations = 2.0 * rows * (2 * routed.hidden + 3 * routed.width)
    weights = distinct * routed.expert_parameters * precision.weight_bytes
    seconds = routed.layers * product.seconds(operations, weights, activations, peak)
    return speed.get(f"experts_scale.{precision.kernel}", speed["experts_scale"]) * seconds


def _glue_seconds(model: Model, tokens: Floats, kernels: Kernels, peak: Peak, speed: dict[str, float]) -> Floats:
    """Norms, rotary embedding, cache writes and the start of attention, for one layer."""
    fixed = (speed["layer_us"] + kernels.decode_start_us) * 1e-6
    return fixed + speed["layer_traffic"] * 2.0 * model.hidden * tokens / peak.bytes_s


def _all_reduce_seconds(model: Model, tokens: Floats, gpu: Gpu, tp: int, speed: dict[str, float]) -> Floats:
    """One all-reduce of the 16-bit hidden state."""
    if tp == 1:
        return np.zeros_like(tokens)
    tail = "" if gpu.link == "nvlink" else "_pcie"
    moved = 2.0 * (tp - 1) / tp * 2.0 * model.hidden * tokens
    return speed[f"group_start{tail}_us"] * 1e-6 + moved / (speed[f"group_share{tail}"] * gpu.link_bytes_s)
