"""Serving engines by version: scheduler defaults and fitted speed coefficients, from profiles/engines/*.yaml."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Efficiencies and overheads of one engine; the roofline in serving.roofline says what each stands for."""

    values: dict[str, float]
    source: str
    """What it was fitted on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine version."""

    name: str
    """vllm, tensorrt-llm, sglang or naive (static batching)."""
    version: str
    released: str
    block_size: int = 16
    max_num_seqs: int
    max_num_batched_tokens: int
    memory_share: float
    """gpu_memory_utilization."""
    prefix_caching: bool = True
    reserve_whole_prompt: bool = False
    watermark: float = 0.0
    """Share of the blocks kept free at admission."""
    attention: dict[str, str]
    """Attention kernel by GPU architecture: fa2, fa3, ..."""
    speed: Speed
    source: str
    checked: str
