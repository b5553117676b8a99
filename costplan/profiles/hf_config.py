"""A Hugging Face config.json as a Model; refuses architectures whose cache or layers it would count wrongly."""

import json
from pathlib import Path
from typing import Any, cast

from costplan.errors import CostplanError
from costplan.profiles.models import Mla, Model, Moe

_NESTED = ("text_config", "language_config", "llm_config")
_NOT_MODELLED = {
    "linear_att": "linear attention",
    "mamba": "state-space layers",
    "ssm_state_size": "state-space layers",
    "hybrid_override_pattern": "state-space layers",
    "recurrent": "recurrent layers",
    "global_head_dim": "heads of two sizes",
    "swa_num_key_value_heads": "heads of two sizes",
    "block_configs": "layers of different sizes",
    "compress_ratios": "a compressed cache",
    "index_topk": "a sparse-attention index",
    "sparse_attention_config": "a sparse-attention index",
}
"""Words in field names or layer types -> what would be counted wrongly."""
_TIED = ("gemma", "cohere")  # model types whose missing tie_word_embeddings means true
_PLAIN_MLP = ("gpt2", "opt", "falcon", "phi", "starcoder2", "gpt_neox", "bloom", "mpt")


def model_from_config(path: Path) -> Model:
    """The model that a config.json, or the folder that holds one, describes."""
    file = path / "config.json" if path.is_dir() else path
    try:
        raw: Any = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CostplanError(f"{file}: {error.strerror}", hint="name a config.json or its folder") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CostplanError(f"{file}: not JSON: {error}", hint="name a config.json of a model") from error
    if not isinstance(raw, dict):
        raise CostplanError(f"{file}: not a model configuration", hint="name a config.json of a model")
    outer = cast(dict[str, Any], raw)
    found = next((outer[key] for key in _NESTED if _is_map(outer.get(key))), None)
    inner = cast(dict[str, Any], found or {})
    flat = {key: outer[key] for key in outer if not _is_map(outer[key])}
    return _Config(file, flat | inner, outer).model()


def _is_map(value: object) -> bool:
    return isinstance(value, dict)


class _Config:
    """Field access with the file in every complaint; `values` is the text model, `outer` the whole document."""

    def __init__(self, file: Path, values: dict[str, Any], outer: dict[str, Any]) -> None:
        self.file, self.values, self.outer = file, values, outer

    def model(self) -> Model:
        self.refuse_what_is_not_modelled()
        layers, hidden = self.needed("num_hidden_layers", "n_layer", "num_layers"), self.needed("hidden_size", "n_embd")
        heads = self.needed("num_attention_heads", "n_head")
        mla = self.mla()
        moe = self.moe(layers)
        window, windowed = self.window(layers)
        name = self.outer.get("_name_or_path") or self.file.resolve().parent.name
        return Model(
            id=str(name),
            layers=layers,
            hidden=hidden,
            heads=heads,
            kv_heads=self.whole("num_key_value_heads") or (1 if self.values.get("multi_query") else heads),
            head_dim=mla.nope_dim + mla.rope_dim if mla else self.whole("head_dim") or hidden // heads,
            width=self.width(moe),
            gated=self.kind not in _PLAIN_MLP,
            vocab=self.needed("vocab_size"),
            tied_embeddings=self.tied(),
            max_context=self.whole("max_position_embeddings", "n_positions", "max_seq_len") or 2048,
            window=window,
            windowed_layers=windowed,
            native_precision=self.precision(),
            moe=moe,
            mla=mla,
            source=str(self.file),
        )

    @property
    def kind(self) -> str:
        return str(self.values.get("model_type") or self.outer.get("model_type") or "")

    def refuse_what_is_not_modelled(self) -> None:
        kinds = self.values.get("layer_types")
        named = {str(each) for each in cast(list[Any], kinds)} if isinstance(kinds, list) else set[str]()
        named |= {key for fields in (self.values, self.outer) for key in fields if fields[key]}
        for word, what in _NOT_MODELLED.items():
            if any(word in each for each in named):
                raise CostplanError(
                    f"{self.file}: {self.kind or 'this model'} has {what}, which is not modelled",
                    hint="name a model whose layers are attention of one kind, full or sliding",
                )

    def whole(self, *keys: str) -> int:
        """The first of the fields that is there, 0 for none."""
        for key in keys:
            value = self.values.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise CostplanError(f"{self.file}: '{key}' must be a whole number", hint="take the model's own file")
            return value
        return 0

    def needed(self, *keys: str) -> int:
        value = self.whole(*keys)
        if not value:
            raise CostplanError(f"{self.file}: '{keys[0]}' is missing", hint="name the config.json of a language model")
        return value

    def width(self, moe: Moe | None) -> int:
        """Of the dense MLP; Llama 4 has another field for it beside its experts."""
        dense = self.whole("intermediate_size_mlp") if moe else 0
        found = dense or self.whole("intermediate_size", "n_inner", "ffn_dim")
        return found or (moe.width if moe else 4 * self.needed("hidden_size", "n_embd"))

    def tied(self) -> bool:
        said = self.values.get("tie_word_embeddings", self.outer.get("tie_word_embeddings"))
        return said if isinstance(said, bool) else self.kind.startswith(_TIED)

    def moe(self, layers: int) -> Moe | None:
        experts = self.whole("num_local_experts", "n_routed_experts", "num_experts", "moe_num_experts")
        if experts < 2:
            return None
        width = self.whole("moe_intermediate_size", "expert_ffn_hidden_size") or self.needed("intermediate_size")
        shared = self.whole("shared_expert_intermediate_size", "share_expert_dim")
        shared = shared or width * self.whole("n_shared_experts", "num_shared_experts")
        if self.kind.startswith("llama4"):
            shared = width  # one shared expert beside the routed ones, not a field of the configuration
        return Moe(
            experts=experts,
            per_token=self.needed("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_topk"),
            width=width,
            shared_width=shared,
            dense_layers=self.dense_layers(layers),
        )

    def dense_layers(self, layers: int) -> int:
        only, sparse = self.values.get("mlp_only_layers"), self.values.get("moe_layer_freq")
        if isinstance(only, list) and only:
            return len(cast(list[Any], only))
        if isinstance(sparse, list):  # one flag for each layer
            return sum(1 for each in cast(list[Any], sparse) if not each)
        step = self.whole("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_freq") or 1
        leading = self.whole("first_k_dense_replace")
        return leading + (layers - leading) - (layers - leading) // step

    def mla(self) -> Mla | None:
        if not self.whole("kv_lora_rank"):
            return None
        return Mla(
            kv_rank=self.whole("kv_lora_rank"),
            rope_dim=self.needed("qk_rope_head_dim"),
            nope_dim=self.needed("qk_nope_head_dim"),
            value_dim=self.needed("v_head_dim"),
            query_rank=self.whole("q_lora_rank"),
        )

    def window(self, layers: int) -> tuple[int, int]:
        """(tokens, layers): chunked attention (Llama 4) counts as a window of one chunk."""
        window = self.whole("sliding_window", "attention_chunk_size")
        if not window or self.values.get("use_sliding_window") is False:
            return 0, 0
        kinds = self.values.get("layer_types")
        if isinstance(kinds, list) and kinds:
            local = sum(1 for each in cast(list[Any], kinds) if each in ("sliding_attention", "chunked_attention"))
        elif pattern := self.whole("sliding_window_pattern") or {"gemma2": 2, "gemma3_text": 6}.get(self.kind, 0):
            local = layers - layers // pattern
        elif self.kind.startswith("llama4"):
            local = layers - layers // 4  # every fourth layer has no positions and sees everything
        elif self.kind.startswith("qwen2"):
            local = max(0, layers - self.whole("max_window_layers"))
        else:
            local = layers
        return (window, local) if local else (0, 0)

    def precision(self) -> str:
        """From quantization_config: method, bits and what compressed-tensors says of weights and activations."""
        found = self.outer.get("quantization_config") or self.values.get("quantization_config") or self.beside()
        if not _is_map(found):
            return "bf16"
        said = cast(dict[str, Any], found)
        method = str(said.get("quant_method", "")).lower()
        groups = cast(dict[str, Any], said.get("config_groups") or {})
        group = cast(dict[str, Any], next(iter(groups.values()), None) or {})
        weights, inputs = (cast(dict[str, Any], group.get(key) or {}) for key in ("weights", "input_activations"))
        bits = weights.get("num_bits") or said.get("bits") or said.get("w_bit")
        text = f"{method} {said.get('quant_algo', '')} {said.get('fmt', '')}".lower()
        if "mxfp4" in text or "nvfp4" in text:
            return "mxfp4" if "mxfp4" in text else "nvfp4"
        if weights.get("type") == "float" or "fp8" in text:
            return "nvfp4" if bits == 4 else "fp8"
        if bits == 4 or said.get("load_in_4bit"):
            return "awq"
        if bits == 8 or said.get("load_in_8bit"):
            return "int8" if inputs else "w8a16"
        raise CostplanError(f"{self.file}: quantization '{method}' is not known", hint="give --precision by hand")

    def beside(self) -> Any:
        """What hf_quant_config.json says, in which ModelOpt checkpoints keep their precision."""
        path = self.file.with_name("hf_quant_config.json")
        try:
            said: Any = json.loads(path.read_text(encoding="utf-8-sig")) if path.is_file() else {}
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise CostplanError(f"{path}: not JSON: {error}", hint="take the model's own file") from error
        return cast(dict[str, Any], said).get("quantization") if _is_map(said) else None
