"""Step time from NVIDIA's operator tables (aiconfigurator-core, Apache-2.0), where the optional package is installed.

The tables hold measured kernel times; this file only reads off a few points and brings them into the form of StepTime:
decoding at short contexts gives the step, two prompt shapes of equal length in tokens give the cost of a pair, two
contexts that of a KV token. What the host adds comes from the engine's profile, as for the roofline.
"""

import json
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.errors import CostplanError
from costplan.profiles.engines import Engine
from costplan.profiles.gpus import Gpu
from costplan.profiles.models import Model
from costplan.serving.roofline import coefficients
from costplan.serving.shapes import check_tp
from costplan.serving.step_time import StepTime

_SYSTEMS = {"A100": "a100_sxm", "H100": "h100_sxm", "H200": "h200_sxm", "B200": "b200_sxm", "L40S": "l40s"}
_BACKENDS = {"vllm": "vllm", "sglang": "sglang", "tensorrt-llm": "trtllm"}
_QUANTISATION = {
    "bf16": "bfloat16", "fp16": "bfloat16", "fp8": "fp8", "int8": "sq", "w8a8": "sq", "w8a16": "int8_wo",
    "awq": "int4_wo", "gptq": "int4_wo", "int4": "int4_wo", "w4a16": "int4_wo",
}  # fmt: skip
_DECODE_GRID = (1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512)
_PROMPT_GRID = (768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384)
_INSTALL = "pip install 'costplan[silicon]' (Linux x86-64, Python 3.11 to 3.13), or use the built-in roofline"


def silicon(
    model: Model,
    gpu: Gpu,
    engine: Engine,
    *,
    tp: int = 1,
    precision: str = "bf16",
    kv_dtype: str = "auto",
    max_tokens: int | None = None,
) -> StepTime:
    """Step times of one replica from measured kernels; raises where package or tables are missing."""
    check_tp(model, tp)
    most = max_tokens or engine.max_num_batched_tokens
    try:
        base_s, pair_s, context_s = _read(_handle(model, gpu, engine, tp, precision, kv_dtype), most)
    except CostplanError:
        raise
    except Exception as error:  # the package raises kinds of its own that it does not export
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise CostplanError(f"operator tables: {reason}", hint="use the built-in roofline") from error
    speed = coefficients(engine)
    tokens = np.arange(most + 1, dtype=np.float64)
    return StepTime(
        base_s=base_s + speed["step_ms"] * 1e-3 + speed["token_us"] * 1e-6 * tokens,
        pair_s=pair_s,
        context_token_s=context_s,
        request_s=speed["request_us"] * 1e-6,
        frontend_s=speed["frontend_ms"] * 1e-3,
        frontend_token_s=speed["frontend_token_us"] * 1e-6,
        basis="silicon",
    )


def _read(handle: Any, most: int) -> tuple[NDArray[np.float64], float, float]:
    """(seconds by tokens in a step, seconds per pair, seconds per KV token) of the kernels alone."""
    long, rows = 8192, 8
    # one prompt of 8,192 tokens against eight of 1,024: the same tokens, eight times fewer pairs of query and context
    pairs = long * long / 2 * (1 - 1 / rows)
    pair_s = max(0.0, _prompt_s(handle, 1, long) - _prompt_s(handle, rows, long // rows)) / pairs
    batch, near, far = 64, 512, 4096
    context_s = (_decode_s(handle, batch, far) - _decode_s(handle, batch, near)) / (batch * (far - near))
    known: dict[int, float] = {n: _decode_s(handle, n, near) - n * near * context_s for n in _DECODE_GRID}
    known |= {n: _prompt_s(handle, 1, n) - pair_s * n * n / 2 for n in _PROMPT_GRID}
    grid = np.array(sorted(known), dtype=np.float64)
    seconds = np.maximum.accumulate(np.array([known[int(n)] for n in grid]))
    tokens = np.arange(most + 1, dtype=np.float64)
    base_s = np.interp(tokens, grid, seconds)
    beyond = tokens > grid[-1]
    base_s[beyond] = seconds[-1] * tokens[beyond] / grid[-1]
    return base_s, pair_s, context_s


def _handle(model: Model, gpu: Gpu, engine: Engine, tp: int, precision: str, kv_dtype: str) -> Any:
    """The package's compiled estimator for this deployment."""
    try:
        estimator: Any = import_module("aiconfigurator_core.sdk").EngineHandle
    except ImportError as error:
        raise CostplanError("operator tables need the package aiconfigurator-core 0.12.0", hint=_INSTALL) from error
    system = _SYSTEMS.get(gpu.name, "")
    backend = _BACKENDS.get(engine.name, "")
    quantisation = _QUANTISATION.get(precision.lower())
    if not system or not backend or quantisation is None or model.mla or model.windowed_layers:
        raise CostplanError(
            f"no operator tables for {model.id} in {precision} on {gpu.name} with {engine.name}",
            hint="use the built-in roofline",
        )
    split: dict[str, Any] = {"tp_size": tp, "gemm_quant_mode": quantisation}
    if kv_dtype.lower().startswith("fp8"):
        split["kvcache_quant_mode"] = "fp8"
    if model.moe is not None:
        split |= {"moe_tp_size": tp, "moe_quant_mode": quantisation}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(_config(model)), encoding="utf-8")
        return estimator.compile(model_path=folder, system=system, backend=backend, **split)


def _config(model: Model) -> dict[str, Any]:
    """The model as a Llama or a Mixtral of the same shape, which is all the tables look at."""
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": model.hidden,
        "intermediate_size": model.width, "num_hidden_layers": model.layers, "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads, "head_dim": model.head_dim, "vocab_size": model.vocab,
        "max_position_embeddings": model.max_context, "hidden_act": "silu", "torch_dtype": "bfloat16",
    }  # fmt: skip
    if model.moe is not None:
        config |= {
            "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "intermediate_size": model.moe.width,
            "num_local_experts": model.moe.experts, "num_experts_per_tok": model.moe.per_token,
        }  # fmt: skip
    return config


def _prompt_s(handle: Any, requests: int, tokens: int) -> float:
    return float(handle.predict_prefill_latency(requests, tokens)) * 1e-3


def _decode_s(handle: Any, requests: int, context: int) -> float:
    return float(handle.decode_step_latency(requests, context, 2)) * 1e-3
