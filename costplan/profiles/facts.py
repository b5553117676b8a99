"""Profiles as plain dictionaries for people and programs, units in the names; adds nothing but sizes in GiB."""

from dataclasses import asdict
from typing import Any

from costplan.profiles.gpus import Gpu, HourPrice
from costplan.profiles.models import Model

_GIB = 2**30


def model_facts(model: Model) -> dict[str, Any]:
    """A model with what follows from its architecture: parameters, KV bytes per token, weights by precision."""
    precisions = dict.fromkeys((model.native_precision, "bf16", "fp8", "int8", "awq"))
    kept = ("layers", "hidden", "heads", "kv_heads", "head_dim", "width", "vocab", "tied_embeddings", "max_context")
    return {
        "name": model.name,
        "id": model.id,
        "aliases": list(model.aliases),
        "parameters": model.parameters,
        "active_parameters": model.active_parameters,
        "embedding_parameters": model.embedding_parameters,
        "attention_parameters": model.attention_parameters,
        "mlp_parameters": model.mlp_parameters,
        "other_parameters": model.other_parameters,
        **{key: getattr(model, key) for key in kept},
        "window_tokens": model.window,
        "windowed_layers": model.windowed_layers,
        "native_precision": model.native_precision,
        "moe": asdict(model.moe) if model.moe else None,
        "mla": asdict(model.mla) if model.mla else None,
        "kv_bytes_per_token": {"bf16": model.kv_bytes_per_token(2), "fp8": model.kv_bytes_per_token(1)},
        "weights_gib": {each: round(model.weight_bytes(each) / _GIB, 2) for each in precisions},
        "source": model.source,
        "checked": model.checked,
    }


def gpu_facts(gpu: Gpu) -> dict[str, Any]:
    """A GPU as its profile has it, in GiB, GB/s and TFLOP/s."""
    return {
        "name": gpu.name,
        "aliases": list(gpu.aliases),
        "architecture": gpu.architecture,
        "memory_gib": round(gpu.memory_bytes / _GIB, 2),
        "bandwidth_gb_s": gpu.bandwidth_bytes_s / 1e9,
        "tflops": {key: value / 1e12 for key, value in gpu.flops.items()},
        "link": gpu.link,
        "link_gb_s": gpu.link_bytes_s / 1e9,
        "power_w": gpu.power_w,
        "on_demand_usd_per_hour": _price(gpu.on_demand),
        "reserved_usd_per_hour": _price(gpu.reserved),
        "spot_usd_per_hour": _price(gpu.spot),
        "clouds_usd_per_hour": {cloud: _price(price) for cloud, price in gpu.clouds.items()},
        "capex_usd": _price(gpu.capex_usd),
        "instance_gpus": list(gpu.instance_gpus),
        "cloud_instance_gpus": {cloud: list(sizes) for cloud, sizes in gpu.cloud_instance_gpus.items()},
        "note": gpu.note,
        "source": gpu.source,
        "checked": gpu.checked,
    }


def _price(price: HourPrice | None) -> dict[str, Any] | None:
    return asdict(price) if price else None
