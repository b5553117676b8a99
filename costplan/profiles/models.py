"""Architectures of open models, read from profiles/models/*.yaml or any Hugging Face config.json; knows no prices."""

import re
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from costplan.errors import CostplanError
from costplan.profiles import (
    Section,
    check_keys,
    checked_on,
    nearest,
    number,
    part,
    profile_path,
    read_yaml,
    text,
    words,
)

WEIGHT_BYTES = {
    "bf16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "w8a16": 1.0,
    "awq": 0.5 + 2.5 / 128,
    "nvfp4": 0.5 + 1 / 16,
    "mxfp4": 0.5 + 1 / 32,
}
"""Bytes per weight of a quantised matrix, its scales included: 4 bits plus a 16-bit scale and a 4-bit zero point for
each group of 128 (AWQ, GPTQ), an 8-bit scale for each 16 (NVFP4) or 32 (MXFP4). int8 also computes in int8, w8a16
and awq compute in 16 bits."""

_VARIANTS = {"instruct", "it", "chat", "base", "hf", "meta", "pt", "dynamic", "kv", "quantized", "block", "static"}
_QUANTISED = {
    "fp8": "fp8",
    "w8a8": "int8",
    "int8": "int8",
    "w8a16": "w8a16",
    "w4a16": "awq",
    "awq": "awq",
    "gptq": "awq",
    "int4": "awq",
    "nvfp4": "nvfp4",
    "bf16": "bf16",
}


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
    """Layers with an ordinary MLP of the model's `width` (leading or interleaved ones)."""


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
    name: str = ""
    """Short name: the profile's file name; empty for a config.json."""
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
    """What the published checkpoint holds: a key of WEIGHT_BYTES."""
    other_parameters: int = 0
    """Loaded beside the decoder, such as a vision encoder; text tokens do not pass through them."""
    moe: Moe | None = None
    mla: Mla | None = None
    aliases: tuple[str, ...] = ()
    source: str = ""
    checked: str = ""

    @property
    def embedding_parameters(self) -> int:
        """Input table and output head; one table where they are tied."""
        return self.vocab * self.hidden * (1 if self.tied_embeddings else 2)

    @property
    def head_parameters(self) -> int:
        """The output head: the part of the embeddings that every decoded token multiplies with."""
        return self.vocab * self.hidden

    @property
    def attention_parameters(self) -> int:
        """Projections of queries, keys, values and output in all layers."""
        if self.mla is None:
            return self.layers * self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        m = self.mla
        query_dim = self.heads * (m.nope_dim + m.rope_dim)
        query = m.query_rank * (self.hidden + query_dim) if m.query_rank else self.hidden * query_dim
        latent = self.hidden * (m.kv_rank + m.rope_dim) + m.kv_rank * self.heads * (m.nope_dim + m.value_dim)
        return self.layers * (query + latent + self.heads * m.value_dim * self.hidden)

    @property
    def expert_parameters(self) -> int:
        """One routed expert of one layer; 0 without experts."""
        return 0 if self.moe is None else self._mlp(self.moe.width)

    @property
    def mlp_parameters(self) -> int:
        """MLPs of all layers, every expert, shared part and router counted."""
        if self.moe is None:
            return self.layers * self._mlp(self.width)
        return self._mlp_beside_experts + self.moe_layers * self.moe.experts * self.expert_parameters

    @property
    def active_mlp_parameters(self) -> int:
        """What one token passes through."""
        if self.moe is None:
            return self.mlp_parameters
        return self._mlp_beside_experts + self.moe_layers * self.moe.per_token * self.expert_parameters

    @property
    def moe_layers(self) -> int:
        return 0 if self.moe is None else self.layers - self.moe.dense_layers

    @property
    def parameters(self) -> int:
        """All of them; norms and biases (under 0.1 %) are left out."""
        return self.embedding_parameters + self.attention_parameters + self.mlp_parameters + self.other_parameters

    @property
    def active_parameters(self) -> int:
        """Multiplied with for each token: attention, active MLP, output head; the input table is only looked up."""
        return self.attention_parameters + self.active_mlp_parameters + self.head_parameters

    @property
    def full_layers(self) -> int:
        """Layers whose KV cache grows with the whole context."""
        return self.layers - self.windowed_layers

    @property
    def kv_elements_per_layer(self) -> int:
        """Numbers cached per token in one layer: keys and values of the KV heads, or the MLA latent."""
        if self.mla is not None:
            return self.mla.kv_rank + self.mla.rope_dim
        return 2 * self.kv_heads * self.head_dim

    @property
    def kv_elements_per_token(self) -> int:
        """Numbers cached per token over all layers, as long as the context is inside the window."""
        return self.layers * self.kv_elements_per_layer

    @property
    def kv_elements_full(self) -> int:
        """The share of layers with full attention: kept for every token of the context."""
        return self.full_layers * self.kv_elements_per_layer

    @property
    def kv_elements_windowed(self) -> int:
        """The share of sliding-window layers: kept for the last `window` tokens only."""
        return self.windowed_layers * self.kv_elements_per_layer

    def kv_bytes_per_token(self, bytes_per_element: float = 2.0) -> float:
        """Bytes of KV cache per token over all layers; 2 bytes per element is bf16, 1 is fp8."""
        return self.kv_elements_per_token * bytes_per_element

    def weight_bytes(self, precision: str = "") -> float:
        """Bytes of the loaded weights; tables, head and encoders stay in bf16, with mxfp4 all but the experts."""
        precision = precision or self.native_precision
        if precision not in WEIGHT_BYTES:
            raise CostplanError(f"{precision}: unknown precision", hint=nearest(precision, WEIGHT_BYTES))
        quantised = self.mlp_parameters + self.attention_parameters
        if precision == "mxfp4" and self.moe is not None:
            quantised = self.moe_layers * self.moe.experts * self.expert_parameters
        return quantised * WEIGHT_BYTES[precision] + (self.parameters - quantised) * WEIGHT_BYTES["bf16"]

    @property
    def _mlp_beside_experts(self) -> int:
        """Dense layers, shared experts and routers of a mixture."""
        if self.moe is None:
            return 0
        shared = self._mlp(self.moe.shared_width) + self.hidden * self.moe.experts
        return self.moe.dense_layers * self._mlp(self.width) + self.moe_layers * shared

    def _mlp(self, width: int) -> int:
        return (3 if self.gated else 2) * self.hidden * width


def find_model(name: str) -> Model:
    """A model by short name, Hugging Face id, quantised repository of a known model, or config.json (or its folder).

    Upper and lower case, `Meta-` and `-Instruct` do not matter. A quantised name sets `native_precision`.
    """
    path = Path(name)
    if name.endswith(".json") or name.startswith(("/", "./", "../", "~")) or (path / "config.json").is_file() and name:
        from costplan.profiles.hf_config import model_from_config

        return model_from_config(path.expanduser())
    short, precision = _short(name)
    stems = _stems()
    found = short if short in stems else _index().get(name.lower()) or _index().get(short)
    if found is None:
        raise CostplanError(
            f"{name}: unknown model",
            hint=f"{nearest(short, [*stems, *_index()] if short else stems)}; or name its config.json",
        )
    model = load_model(stems[found])
    return replace(model, native_precision=precision) if precision else model


def all_models() -> list[Model]:
    """Every profile, by name."""
    return [load_model(path) for _, path in sorted(_stems().items())]


@cache
def load_model(path: Path) -> Model:
    """One profiles/models/*.yaml file."""
    section = read_yaml(path)
    values = _values(section, Model, ("name",))
    values["aliases"] = words(section, "aliases")
    values["checked"] = checked_on(section)
    for key, kind in (("moe", Moe), ("mla", Mla)):
        if key in section.values:
            values[key] = kind(**_values(part(section, key), kind))
    model = Model(**values, name=path.stem)
    if model.native_precision not in WEIGHT_BYTES:
        hint = nearest(model.native_precision, WEIGHT_BYTES)
        raise CostplanError(f"{section.where('native_precision')}: unknown precision", hint=hint)
    if model.windowed_layers > model.layers or bool(model.windowed_layers) != bool(model.window):
        raise CostplanError(f"{section.where('window')}: window and windowed_layers disagree", hint="give both or none")
    return model


def _values(section: Section, kind: type[Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The checked plain fields of a mapping; which are required and which are numbers the dataclass says."""
    known = [field for field in fields(kind) if field.name not in without]
    required = [field.name for field in known if field.default is MISSING]
    check_keys(section, [field.name for field in known], [*required, *(["source", "checked"] if without else [])])
    values = {key: value for key, value in section.values.items() if not isinstance(value, Section)}
    for field in known:
        if field.name not in section.values:
            continue
        if field.type is int:
            values[field.name] = int(number(section, field.name))
        elif field.type is str:
            values[field.name] = text(section, field.name)
        elif field.type is bool and not isinstance(section.values[field.name], bool):
            raise CostplanError(f"{section.where(field.name)}: must be true or false", hint=f"{field.name}: true")
    return values


def _short(name: str) -> tuple[str, str]:
    """(short name, precision or ""): `RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8` -> (`llama-3.1-8b`, `fp8`)."""
    tokens = re.split(r"[-_ ]|(?<=quantized)\.", name.lower().rsplit("/", 1)[-1])
    precision = next((_QUANTISED[each] for each in tokens if each in _QUANTISED), "")
    if precision == "awq" and "gptq" in tokens and "int8" in tokens:
        precision = "w8a16"
    return "-".join(each for each in tokens if each and each not in _VARIANTS and each not in _QUANTISED), precision


@cache
def _stems() -> dict[str, Path]:
    return {path.stem: path for path in sorted(profile_path("models").glob("*.yaml"))}


@cache
def _index() -> dict[str, str]:
    """Ids and aliases, as written and shortened, to the short name of their profile."""
    found: dict[str, str] = {}
    for stem, path in _stems().items():
        model = load_model(path)
        for each in (stem, model.id, *model.aliases):
            found.setdefault(each.lower(), stem)
            found.setdefault(_short(each)[0], stem)
    return found
