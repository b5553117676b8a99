"""Architectures of open models, read from profiles/models/*.yaml or any Hugging Face config.json; knows no prices."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Moe:
    """A mixture of experts: per layer, each token goes through `per_token` of `experts`."""

    experts: int
    per_token: int
    width: int
    """Intermediate size of one expert."""
    shared_width: int = 0
    """Intermediate size of the always active part."""
    dense_layers: int = 0
    """Leading layers with an ordinary MLP of the model's `width`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mla:
    """Multi-head latent attention: one latent vector per token and layer is cached."""

    kv_rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int
    query_rank: int = 0
    """0 = queries are not compressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A decoder-only transformer: what decides its weights, its KV cache and its arithmetic."""

    id: str
    """Hugging Face id."""
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    """Intermediate size of the (gated) MLP."""
    gated: bool = True
    vocab: int
    tied_embeddings: bool = False
    max_context: int
    window: int = 0
    """Tokens that sliding-window layers look back; 0 = none."""
    windowed_layers: int = 0
    native_precision: str = "bf16"
    """What the published checkpoint holds: bf16, fp8 or mxfp4."""
    moe: Moe | None = None
    mla: Mla | None = None
    aliases: tuple[str, ...] = ()
    source: str = ""
    checked: str = ""
