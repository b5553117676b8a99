"""Model profiles: sizes by hand and against published totals, names as people write them, and any config.json."""

import json
from pathlib import Path
from typing import Any

import pytest
from costplan.errors import CostplanError
from costplan.profiles import profile_path
from costplan.profiles.gpus import find_gpu
from costplan.profiles.models import WEIGHT_BYTES, all_models, find_model, load_model
from costplan.serving.memory import weight_bytes
from costplan.serving.precision import find_precision

# Published totals (model cards, safetensors metadata), 1e9 parameters.
PUBLISHED = {
    "llama-2-7b": 6.738,
    "llama-2-13b": 13.016,
    "llama-2-70b": 68.977,
    "codellama-34b": 33.744,
    "llama-3-8b": 8.030,
    "llama-3-70b": 70.554,
    "llama-3.1-8b": 8.030,
    "llama-3.1-70b": 70.554,
    "llama-3.1-405b": 405.85,
    "llama-3.2-1b": 1.236,
    "llama-3.2-3b": 3.213,
    "llama-3.3-70b": 70.554,
    "llama-4-scout": 108.64,
    "llama-4-maverick": 401.6,
    "qwen2.5-0.5b": 0.494,
    "qwen2.5-1.5b": 1.544,
    "qwen2.5-3b": 3.086,
    "qwen2.5-7b": 7.616,
    "qwen2.5-14b": 14.770,
    "qwen2.5-32b": 32.764,
    "qwen2.5-72b": 72.706,
    "qwen3-0.6b": 0.596,
    "qwen3-1.7b": 1.721,
    "qwen3-4b": 4.022,
    "qwen3-8b": 8.191,
    "qwen3-14b": 14.768,
    "qwen3-32b": 32.762,
    "qwen3-30b-a3b": 30.532,
    "qwen3-235b-a22b": 235.09,
    "qwen3-coder-480b-a35b": 480.15,
    "mistral-7b": 7.248,
    "mistral-7b-v0.1": 7.242,
    "mistral-nemo-12b": 12.248,
    "mistral-small-24b": 23.572,
    "mixtral-8x7b": 46.703,
    "mixtral-8x22b": 140.63,
    "deepseek-v3": 671.0,
    "deepseek-r1": 671.0,
    "kimi-k2": 1026.4,
    "gpt-oss-20b": 20.91,
    "gpt-oss-120b": 116.83,
    "gemma-2-9b": 9.242,
    "gemma-2-27b": 27.227,
    "gemma-3-12b": 12.187,
    "gemma-3-27b": 27.432,
    "yi-34b": 34.389,
    "phi-4": 14.660,
    "smollm2-135m": 0.1345,
    "smollm2-360m": 0.3618,
    "smollm2-1.7b": 1.7114,
}
# Published active parameters per token, 1e9; the input table counts in some of them, hence the wider tolerance.
ACTIVE = {"mixtral-8x7b": 12.9, "deepseek-v3": 37.0, "gpt-oss-120b": 5.13, "gpt-oss-20b": 3.61, "qwen3-235b-a22b": 22.0}


@pytest.mark.parametrize("model", all_models(), ids=lambda model: model.name)
def test_the_derived_parameters_are_the_published_ones(model: Any):
    assert model.parameters / 1e9 == pytest.approx(PUBLISHED[model.name], rel=0.01)


def test_every_published_total_has_a_profile():
    assert {model.name for model in all_models()} == set(PUBLISHED)


@pytest.mark.parametrize(("name", "billions"), ACTIVE.items())
def test_a_mixture_passes_each_token_through_few_experts(name: str, billions: float):
    assert find_model(name).active_parameters / 1e9 == pytest.approx(billions, rel=0.03)


def test_llama_8b_caches_131072_bytes_per_token():
    """2 (keys, values) x 32 layers x 8 KV heads x 128 x 2 bytes = 131,072; half of it in fp8."""
    model = find_model("llama-3.1-8b")
    assert model.kv_bytes_per_token() == 2 * 32 * 8 * 128 * 2 == 131_072
    assert model.kv_bytes_per_token(1) == 65_536
    assert (model.kv_elements_full, model.kv_elements_windowed) == (65_536, 0)


def test_deepseek_caches_one_latent_per_layer():
    """(512 latent + 64 rope) x 61 layers x 2 bytes = 70,272, whatever the 128 heads."""
    model = find_model("deepseek-ai/DeepSeek-V3")
    assert model.kv_bytes_per_token() == (512 + 64) * 61 * 2 == 70_272


def test_gpt_oss_looks_back_128_tokens_in_every_other_layer():
    """8 KV heads x 64 x 2 = 1,024 numbers per layer; 18 layers keep all tokens, 18 the last 128."""
    model = find_model("gpt-oss-120b")
    assert (model.window, model.windowed_layers) == (128, 18)
    assert model.kv_elements_full == model.kv_elements_windowed == 18 * 1024


def test_gemma_3_has_one_full_layer_in_six():
    """48 layers / 6 = 8 full ones."""
    model = find_model("gemma-3-12b")
    assert (model.full_layers, model.windowed_layers, model.window) == (8, 40, 1024)


def test_llama_70b_by_hand():
    """Embeddings 2 x 128,256 x 8,192; attention 80 x 8,192 x 128 x 2 x (64 + 8); MLP 80 x 3 x 8,192 x 28,672."""
    model = find_model("llama-3.1-70b")
    assert model.embedding_parameters == 2 * 128_256 * 8192
    assert model.attention_parameters == 80 * 8192 * 128 * 2 * 72
    assert model.mlp_parameters == 80 * 3 * 8192 * 28_672
    assert model.weight_bytes("bf16") == 2 * model.parameters


def test_fp16_weights_of_70b_take_131_gib_and_awq_ones_a_good_quarter():
    """70.55e9 x 2 / 2^30 = 131.4 GiB. AWQ: 68.45e9 x 0.5195 + 2.10e9 x 2 bytes (tables stay 16 bit) = 37.0 GiB."""
    model = find_model("llama-3-70b")
    assert model.weight_bytes() / 2**30 == pytest.approx(131.4, abs=0.1)
    assert model.weight_bytes("awq") / 2**30 == pytest.approx(37.0, abs=0.1)


def test_gpt_oss_ships_in_sixty_gib():
    """Experts at 4.25 bits, the rest in 16: the checkpoint of gpt-oss-120b has 60.8 GiB."""
    assert find_model("gpt-oss-120b").weight_bytes() / 2**30 == pytest.approx(60.8, rel=0.01)


@pytest.mark.parametrize(
    ("written", "name", "precision"),
    [
        ("llama-3.1-8b", "llama-3.1-8b", "bf16"),
        ("LLAMA-3.1-8B", "llama-3.1-8b", "bf16"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b", "bf16"),
        ("Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b", "bf16"),
        ("meta-llama/Meta-Llama-3.1-70B", "llama-3.1-70b", "bf16"),
        ("Llama-3-8B", "llama-3-8b", "bf16"),
        ("LLaMA v3 70B", "llama-3-70b", "bf16"),
        ("meta-llama/Llama-2-70b-hf", "llama-2-70b", "bf16"),
        ("codellama/CodeLlama-34b-Instruct-hf", "codellama-34b", "bf16"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8", "llama-3.1-8b", "fp8"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic", "llama-3.1-8b", "fp8"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16", "llama-3.1-8b", "awq"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a8", "llama-3.1-8b", "int8"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a16", "llama-3.1-8b", "w8a16"),
        ("hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4", "llama-3.1-70b", "awq"),
        ("nvidia/Llama-3.3-70B-Instruct-FP8", "llama-3.3-70b", "fp8"),
        ("nvidia/Qwen3-235B-A22B-FP8", "qwen3-235b-a22b", "fp8"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8", "qwen2.5-7b", "w8a16"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b", "bf16"),
        ("mistralai/Mistral-7B-Instruct-v0.1", "mistral-7b-v0.1", "bf16"),
        ("mistralai/Mistral-7B-v0.3", "mistral-7b", "bf16"),
        ("google/gemma-2-9b-it", "gemma-2-9b", "bf16"),
        ("openai/gpt-oss-120b", "gpt-oss-120b", "mxfp4"),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "qwen3-30b-a3b", "bf16"),
    ],
)
def test_a_model_is_found_as_people_write_it(written: str, name: str, precision: str):
    model = find_model(written)
    assert (model.name, model.native_precision) == (name, precision)


def test_no_two_profiles_claim_the_same_name():
    claimed: dict[str, str] = {}
    for model in all_models():
        for each in {model.name.lower(), model.id.lower(), *(alias.lower() for alias in model.aliases)}:
            assert claimed.setdefault(each, model.name) == model.name


def test_every_model_has_a_source_and_a_date():
    for model in all_models():
        assert len(model.source) > 20 and model.checked >= "2026-01-01"
        assert model.native_precision in WEIGHT_BYTES
        assert find_model(model.id) == model


def test_an_unknown_model_gets_the_nearest_names():
    with pytest.raises(CostplanError, match=r"llama-3\.1-9b: unknown model") as error:
        find_model("llama-3.1-9b")
    assert "llama-3.1-8b" in error.value.hint and "config.json" in error.value.hint


LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}


def config(folder: Path, **changes: Any) -> str:
    """A config.json of Llama-3.1-8B with changes; None removes a field."""
    document = {key: value for key, value in (LLAMA | changes).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(document))
    return str(folder)


def test_a_config_json_or_its_folder_describes_a_model(tmp_path: Path):
    known = find_model("llama-3.1-8b")
    for name in (config(tmp_path), str(tmp_path / "config.json")):
        model = find_model(name)
        assert (model.parameters, model.kv_bytes_per_token()) == (known.parameters, known.kv_bytes_per_token())


def test_missing_kv_heads_are_all_heads(tmp_path: Path):
    model = find_model(config(tmp_path, num_key_value_heads=None))
    assert (model.kv_heads, model.head_dim) == (32, 128)


def test_a_nested_text_config_is_found(tmp_path: Path):
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "gemma3", "text_config": LLAMA, "vision_config": {}})
    )
    assert find_model(str(tmp_path)).layers == 32


@pytest.mark.parametrize(
    ("fields", "experts", "per_token", "width", "shared", "dense"),
    [
        ({"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}, 8, 2, 14336, 0, 0),
        (
            {"model_type": "qwen3_moe", "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768},
            *(128, 8, 768, 0, 0),
        ),
        (
            {
                **{"model_type": "deepseek_v3", "n_routed_experts": 256, "num_experts_per_tok": 8},
                **{"moe_intermediate_size": 2048, "n_shared_experts": 1, "first_k_dense_replace": 3},
            },
            *(256, 8, 2048, 2048, 3),
        ),
        (
            {
                **{"model_type": "llama4_text", "num_local_experts": 128, "num_experts_per_tok": 1},
                **{"interleave_moe_layer_step": 2, "intermediate_size": 8192, "intermediate_size_mlp": 16384},
            },
            *(128, 1, 8192, 8192, 16),
        ),
        (
            {"model_type": "qwen2_moe", "num_experts": 60, "num_experts_per_tok": 4, "moe_intermediate_size": 1408}
            | {"shared_expert_intermediate_size": 5632},
            *(60, 4, 1408, 5632, 0),
        ),
    ],
)
def test_the_field_names_of_each_mixture_are_known(
    tmp_path: Path, fields: dict[str, Any], experts: int, per_token: int, width: int, shared: int, dense: int
):
    moe = find_model(config(tmp_path, **fields)).moe
    assert moe is not None
    found = (moe.experts, moe.per_token, moe.width, moe.shared_width, moe.dense_layers)
    assert found == (experts, per_token, width, shared, dense)


@pytest.mark.parametrize(
    ("fields", "window", "layers"),
    [
        ({"sliding_window": 4096, "model_type": "mistral"}, 4096, 32),
        ({"sliding_window": 4096, "use_sliding_window": False, "model_type": "qwen2"}, 0, 0),
        ({"sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 28, "model_type": "qwen2"}, 4096, 4),
        ({"sliding_window": None, "model_type": "mistral"}, 0, 0),
        ({"sliding_window": 4096, "model_type": "gemma2"}, 4096, 16),
        ({"sliding_window": 512, "sliding_window_pattern": 6, "model_type": "gemma3_text"}, 512, 27),
        ({"sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"] * 16}, 128, 16),
        ({"attention_chunk_size": 8192, "model_type": "llama4_text"}, 8192, 24),
    ],
)
def test_sliding_windows_are_read_in_every_spelling(tmp_path: Path, fields: dict[str, Any], window: int, layers: int):
    model = find_model(config(tmp_path, **fields))
    assert (model.window, model.windowed_layers) == (window, layers)


def compressed(weights: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A quantization_config of the compressed-tensors kind."""
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": weights, **more}}}


@pytest.mark.parametrize(
    ("said", "precision"),
    [
        ({"quant_method": "fp8", "fmt": "e4m3"}, "fp8"),
        ({"quant_method": "awq", "bits": 4}, "awq"),
        ({"quant_method": "gptq", "bits": 8}, "w8a16"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        (compressed({"num_bits": 8, "type": "int"}, input_activations={"num_bits": 8}), "int8"),
        (compressed({"num_bits": 8, "type": "int"}, input_activations=None), "w8a16"),
        (compressed({"num_bits": 4, "type": "int"}), "awq"),
        (compressed({"num_bits": 8, "type": "float"}), "fp8"),
    ],
)
def test_the_precision_comes_from_the_quantisation(tmp_path: Path, said: dict[str, Any], precision: str):
    assert find_model(config(tmp_path, quantization_config=said)).native_precision == precision


def test_modelopt_keeps_the_precision_in_a_file_beside(tmp_path: Path):
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "FP8"}}))
    assert find_model(config(tmp_path)).native_precision == "fp8"


def test_weights_agree_with_what_the_memory_model_loads():
    """On one GPU; the memory model leaves encoders out and pads mxfp4 experts."""
    gpu = find_gpu("H100")
    for model in all_models():
        if not model.other_parameters:
            for precision in ("bf16", "fp8", "awq"):
                loaded = weight_bytes(model, 1, find_precision(precision, gpu))
                assert model.weight_bytes(precision) == pytest.approx(loaded, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"num_hidden_layers": None}, "'num_hidden_layers' is missing"),
        ({"vocab_size": None}, "'vocab_size' is missing"),
        ({"hidden_size": "wide"}, "'hidden_size' must be a whole number"),
        ({"layer_types": ["linear_attention", "full_attention"]}, "linear attention, which is not modelled"),
        ({"index_topk": 2048}, "a sparse-attention index, which is not modelled"),
        ({"block_configs": [{}, {}]}, "layers of different sizes, which is not modelled"),
        ({"quantization_config": {"quant_method": "novel"}}, "quantization 'novel' is not known"),
        ({"kv_lora_rank": 512}, "'qk_rope_head_dim' is missing"),
    ],
)
def test_an_unusable_config_names_file_and_field(tmp_path: Path, changes: dict[str, Any], complaint: str):
    with pytest.raises(CostplanError, match=complaint) as error:
        find_model(config(tmp_path, **changes))
    assert "config.json" in error.value.message


@pytest.mark.parametrize("content", ["", "[1]", "{", "\ud83d"])
def test_a_file_that_is_no_configuration_is_an_error_not_a_traceback(tmp_path: Path, content: str):
    (tmp_path / "config.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(CostplanError, match=r"config\.json"):
        find_model(str(tmp_path / "config.json"))


MISTAKES = [
    ("layers: 32", "layerz: 32", 3),
    ("layers: 32", "layers: many", 3),
    ("layers: 32", "layers: .inf", 3),
    ("checked: 2026-11-23", "checked: soon", 13),
    ("vocab: 128256", "vocab: 128256\nwindow: 4096", 10),
    ("vocab: 128256", "vocab: 128256\nnative_precision: fp7", 10),
    ("vocab: 128256", "vocab: 128256\nmoe: 8", 10),
    ("vocab: 128256", "vocab: 128256\nmoe: {experts: 8}", 10),
    ("vocab: 128256", "vocab: 128256\ntied_embeddings: maybe", 10),
]


@pytest.mark.parametrize(("good", "bad", "line"), MISTAKES)
def test_a_mistake_in_a_model_profile_names_its_line(tmp_path: Path, good: str, bad: str, line: int):
    text = profile_path("models", "llama-3.1-8b.yaml").read_text()
    path = tmp_path / "m.yaml"
    path.write_text(text.replace(good, bad))
    with pytest.raises(CostplanError, match=rf"m\.yaml:{line}:"):
        load_model(path)
