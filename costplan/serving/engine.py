"""The knobs of one engine replica, with every default filled in; knows nothing of the hardware below."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What the scheduler of one replica works with."""

    blocks: int
    """KV blocks that fit into memory."""
    block_size: int = 16
    """Tokens a block holds."""
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 2048
    prefix_caching: bool = True
    chunked_prefill: bool = True
    """False (vLLM V0): prompts go first, whole and in steps of their own; only one longer than a step is cut."""
    reserve_whole_prompt: bool = False
    """Admit only when the whole prompt fits (vLLM 0.32), not just its first chunk (vLLM 0.15)."""
    watermark_blocks: int = 0
    """Blocks that must stay free when a waiting request is admitted."""
    draft_tokens: int = 0
    """k: tokens drafted per step (speculative decoding), 0 = off."""
    acceptance: float = 0.0
    """Probability that a draft token is accepted."""
