"""The matrices of a transformer as one GPU of a tensor-parallel group holds them; knows neither bytes nor seconds.

Attention heads and MLP columns are split over the group; KV heads are repeated when there are fewer of them than GPUs;
the latent projections of multi-head latent attention and the router of a mixture of experts are repeated everywhere.
"""

from dataclasses import dataclass

from costplan.errors import CostplanError
from costplan.profiles.models import Model


@dataclass(frozen=True, slots=True)
class Matrix:
    """`layers` weight matrices of `rows` outputs by `columns` inputs."""

    rows: int
    columns: int
    layers: int
    quantised: bool = True
    """False for what quantised checkpoints leave in 16 bits: router, embeddings, output head."""

    @property
    def parameters(self) -> int:
        return self.rows * self.columns * self.layers


@dataclass(frozen=True, slots=True)
class Experts:
    """The expert weights of `layers` layers: `experts` of them, `per_token` used by each token."""

    experts: int
    per_token: int
    hidden: int
    width: int
    """Intermediate size of one expert on this GPU."""
    layers: int
    gated: bool = True

    @property
    def expert_parameters(self) -> int:
        """Of one expert in one layer."""
        return (3 if self.gated else 2) * self.hidden * self.width

    @property
    def parameters(self) -> int:
        return self.experts * self.expert_parameters * self.layers


def check_tp(model: Model, tp: int) -> None:
    """Raise when the heads or the MLP cannot be divided over `tp` GPUs; the hint lists what can."""
    if tp >= 1 and _divides(model, tp):
        return
    fitting = ", ".join(str(n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 16) if _divides(model, n))
    raise CostplanError(
        f"{model.id}: {model.heads} attention heads cannot be split over {tp} GPUs", hint=f"use --tp {fitting}"
    )


def local_kv_heads(model: Model, tp: int) -> int:
    """KV heads on each GPU: at least one, so they are repeated beyond tp = kv_heads."""
    return max(1, model.kv_heads // tp)


def dense(model: Model, tp: int) -> tuple[Matrix, ...]:
    """Every matrix product of the layers except experts, on one GPU."""
    check_tp(model, tp)
    matrices = list(_attention(model, tp))
    moe = model.moe
    plain_layers = model.layers if moe is None else moe.dense_layers
    if plain_layers:
        matrices += _mlp(model, model.width // tp, plain_layers)
    if moe is not None:
        sparse_layers = model.layers - moe.dense_layers
        matrices.append(Matrix(moe.experts, model.hidden, sparse_layers, quantised=False))
        if moe.shared_width:
            matrices += _mlp(model, moe.shared_width // tp, sparse_layers)
    return tuple(matrices)


def experts(model: Model, tp: int) -> Experts | None:
    """The routed experts on one GPU, every expert split over the group; None in a dense model."""
    moe = model.moe
    if moe is None:
        return None
    return Experts(
        moe.experts, moe.per_token, model.hidden, moe.width // tp, model.layers - moe.dense_layers, model.gated
    )


def head(model: Model, tp: int) -> Matrix:
    """The output projection onto the vocabulary."""
    return Matrix(model.vocab // tp, model.hidden, 1, quantised=False)


def kv_values(model: Model, tp: int) -> int:
    """Cached numbers per token and layer on one GPU."""
    if model.mla is not None:
        return model.mla.kv_rank + model.mla.rope_dim
    return 2 * local_kv_heads(model, tp) * model.head_dim


def pair_flops(model: Model, tp: int) -> int:
    """Floating-point operations per layer for one query token meeting one context token, on one GPU."""
    heads = model.heads // tp
    if model.mla is not None:
        return 2 * heads * (model.mla.nope_dim + model.mla.rope_dim + model.mla.value_dim)
    return 4 * heads * model.head_dim


def _divides(model: Model, tp: int) -> bool:
    heads_split = model.heads % tp == 0
    kv_split = model.mla is not None or model.kv_heads % tp == 0 or tp % model.kv_heads == 0
    width = model.width if model.moe is None else model.moe.width
    return heads_split and kv_split and width % tp == 0


def _mlp(model: Model, width: int, layers: int) -> list[Matrix]:
    return [Matrix((2 if model.gated else 1) * width, model.hidden, layers), Matrix(model.hidden, width, layers)]


def _attention(model: Model, tp: int) -> tuple[Matrix, ...]:
    heads, layers = model.heads // tp, model.layers
    mla = model.mla
    if mla is None:
        fused = (heads + 2 * local_kv_heads(model, tp)) * model.head_dim
        return Matrix(fused, model.hidden, layers), Matrix(model.hidden, heads * model.head_dim, layers)
    query_inputs = mla.query_rank or model.hidden
    down = mla.query_rank + mla.kv_rank + mla.rope_dim
    return (
        Matrix(down, model.hidden, layers),
        Matrix(heads * (mla.nope_dim + mla.rope_dim), query_inputs, layers),
        Matrix(heads * (mla.nope_dim + mla.value_dim), mla.kv_rank, layers),
        Matrix(model.hidden, heads * mla.value_dim, layers),
    )
