"""How many bytes a weight takes in each precision, and in which number format the products are then computed."""

from dataclasses import dataclass

from costplan.errors import CostplanError
from costplan.profiles.gpus import Gpu


@dataclass(frozen=True, slots=True)
class Precision:
    """One way to store the weights of the linear layers."""

    name: str
    weight_bytes: float
    """Per weight, scales and zero points included."""
    kernel: str
    """Key of the measured kernels (serving.kernels): which matrix product runs."""
    arithmetic: str
    """Number format of the products where the GPU has it: bf16, fp8, int8."""


# int4 in groups of 128: half a byte, a 16-bit scale and a 4-bit zero point for each group (AWQ, Lin et al. 2023, 3.2).
# mxfp4: half a byte and an 8-bit scale for each 32 values (OCP Microscaling Formats 1.0, table 1).
_GROUP_128 = 0.5 + 2.5 / 128
_PRECISIONS = {
    "bf16": Precision("bf16", 2.0, "bf16", "bf16"),
    "fp8": Precision("fp8", 1.0, "fp8", "fp8"),
    "int8": Precision("int8", 1.0, "int8", "int8"),
    "w8a16": Precision("w8a16", 1.0, "w8a16", "bf16"),
    "int4": Precision("int4", _GROUP_128, "int4", "bf16"),
    "mxfp4": Precision("mxfp4", 0.5 + 1 / 32, "mxfp4", "bf16"),
}
_ALIASES = {
    "fp16": "bf16",
    "float16": "bf16",
    "bfloat16": "bf16",
    "w8a8": "int8",
    "int8_wo": "w8a16",
    "awq": "int4",
    "gptq": "int4",
    "w4a16": "int4",
    "fp4": "mxfp4",
}


def find_precision(name: str, gpu: Gpu) -> Precision:
    """The precision of that name; formats that the GPU has no arithmetic for fall back to 16-bit products.

    8-bit floating-point weights on a GPU without such units are unpacked to 16 bits before each product (vLLM: the
    Marlin weight-only fall-back), so they save memory but no arithmetic.
    """
    key = name.lower()
    found = _PRECISIONS.get(_ALIASES.get(key, key))
    if found is None:
        known = ", ".join((*_PRECISIONS, "awq", "gptq"))
        raise CostplanError(f"unknown precision '{name}'", hint=f"use one of {known}")
    if found.arithmetic not in gpu.flops and found.weight_bytes == 1.0:
        return Precision(found.name, 1.0, "w8a16", "bf16")
    return found


def smaller_precisions(name: str) -> tuple[str, ...]:
    """Precisions that take less memory, largest first."""
    key = _ALIASES.get(name.lower(), name.lower())
    return {"bf16": ("fp8", "awq"), "fp8": ("awq",), "int8": ("awq",), "w8a16": ("awq",)}.get(key, ())


def kv_value_bytes(kv_dtype: str) -> float:
    """Bytes of one cached number: `auto` and 16-bit names 2, `fp8` 1."""
    if kv_dtype.lower().startswith(("fp8", "int8")):
        return 1.0
    if kv_dtype.lower() in ("auto", "bf16", "fp16", "bfloat16", "float16"):
        return 2.0
    raise CostplanError(f"unknown KV cache type '{kv_dtype}'", hint="use --kv-dtype auto or fp8")


def dense_precision(precision: Precision) -> Precision:
    """What the attention and other dense matrices hold: mxfp4 leaves them in 16 bits (gpt-oss model card, 2.1)."""
    return _PRECISIONS["bf16"] if precision.name == "mxfp4" else precision
