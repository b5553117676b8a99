"""Engine profiles: any version leads to a profile that is named, limits follow the device, mistakes name a line."""

from pathlib import Path

import pytest
from costplan.errors import CostplanError
from costplan.profiles import profile_path
from costplan.profiles.engines import Engine, Speed, all_engines, find_engine, load_engine
from costplan.profiles.gpus import find_gpu


@pytest.mark.parametrize(
    ("spec", "name", "version", "exact"),
    [
        ("vllm@0.15.1", "vllm", "0.15", True),
        ("vllm@v0.15.1", "vllm", "0.15", True),
        ("vLLM 0.7.3", "vllm", "0.7.3", True),
        ("vllm==0.20.1", "vllm", "0.20", True),
        ("vllm@0.14.1", "vllm", "0.15", False),
        ("vllm@0.19.1rc1.dev339+gedc364896", "vllm", "0.20", False),
        ("vllm@99", "vllm", "0.32", False),
        ("vllm@0.1", "vllm", "0.6", False),
        ("vllm", "vllm", "0.32", True),
        ("tensorrt-llm@0.10.0", "tensorrt-llm", "0.10", True),
        ("trtllm@1.0.0rc3", "tensorrt-llm", "1.0", True),
        ("tensorrt_llm@1.0", "tensorrt-llm", "1.0", True),
        ("sglang@0.5.6.post2", "sglang", "0.5", True),
        ("naive", "naive", "1", True),
    ],
)
def test_any_version_finds_the_nearest_profile_and_says_which(spec: str, name: str, version: str, exact: bool):
    engine = find_engine(spec)
    assert (engine.name, engine.version, engine.exact) == (name, version, exact)
    assert ("profile of" in engine.label) is not exact


@pytest.mark.parametrize("spec", ["vlm@0.15", "", "vllm@", "vllm@latest", "@0.15"])
def test_an_unknown_engine_gets_the_nearest_name(spec: str):
    with pytest.raises(CostplanError) as error:
        find_engine(spec)
    assert "vllm" in error.value.hint


@pytest.mark.parametrize(
    ("spec", "gpu", "sequences", "tokens"),
    [
        ("vllm@0.15.1", "A100", 256, 2048),
        ("vllm@0.15.1", "H100", 1024, 8192),
        ("vllm@0.15.1", "L40S", 256, 2048),
        ("vllm@0.15.1", "CPU", 128, 2048),
        ("vllm@0.15.1", "B200", 1024, 8192),
        ("vllm@0.32", "B200", 1024, 16384),
        ("vllm@0.32", "H200", 1024, 8192),
        ("vllm@0.32", "A100", 256, 2048),
        ("vllm@0.7.3", "H100", 256, 8192),
    ],
)
def test_a_server_picks_its_limits_by_the_gpu(spec: str, gpu: str, sequences: int, tokens: int):
    engine = find_engine(spec).on(find_gpu(gpu))
    assert (engine.max_num_seqs, engine.max_num_batched_tokens) == (sequences, tokens)


def test_vllm_changed_how_it_admits_prompts():
    assert not find_engine("vllm@0.15.1").reserve_whole_prompt
    assert find_engine("vllm@0.32").reserve_whole_prompt and find_engine("vllm@0.32").watermark == 0.0
    assert (find_engine("vllm@0.15.1").memory_share, find_engine("vllm@0.32").memory_share) == (0.9, 0.92)


def test_the_old_engine_neither_chunks_prompts_nor_caches_prefixes():
    engine = find_engine("vllm@0.7.3")
    assert not engine.chunked_prefill and not engine.prefix_caching and engine.watermark == 0.01


def test_hopper_has_its_own_attention_kernel():
    attention = find_engine("vllm@0.15.1").attention
    assert (attention["ampere"], attention["hopper"], attention["blackwell"]) == ("fa2", "fa3", "flashinfer")


@pytest.mark.parametrize("engine", all_engines(), ids=lambda engine: f"{engine.name}-{engine.version}")
def test_every_engine_is_sourced_dated_and_complete(engine: Engine):
    assert len(engine.source) > 20 and engine.checked >= "2026-01-01" and engine.released
    assert "default" in engine.attention and 0.5 < engine.memory_share <= 1
    assert engine.speed.source and engine.speed.values


def test_a_speed_value_may_depend_on_a_case():
    speed = Speed(values={"weights.awq": 0.5, "weights.default": 0.8, "step_ms": 1.0}, source="test")
    assert (speed.get("weights", "awq"), speed.get("weights", "bf16"), speed.get("step_ms", "awq")) == (0.5, 0.8, 1.0)
    with pytest.raises(CostplanError, match="no value for 'kv'"):
        speed.get("kv")


GOOD = """name: vllm
version: "0.15"
released: "2026-02"
max_num_seqs: 256
max_num_batched_tokens: 2048
by_device:
  - {min_memory_gib: 70, max_num_seqs: 1024, max_num_batched_tokens: 8192}
memory_share: 0.9
attention: {default: fa2}
speed:
  step_ms: 1e-3
  weights: {awq: 0.5}
  source: test
source: somewhere
checked: 2026-11-23
"""


def test_exponents_and_cases_are_numbers(tmp_path: Path):
    path = tmp_path / "vllm-0.15.yaml"
    path.write_text(GOOD)
    assert load_engine(path).speed.values == {"step_ms": 0.001, "weights.awq": 0.5}


@pytest.mark.parametrize(
    ("good", "bad", "line"),
    [
        ("step_ms: 1e-3", "step_ms: .nan", 11),
        ("step_ms: 1e-3", "step_ms: .inf", 11),
        ("step_ms: 1e-3", "step_ms: fast", 11),
        ("{awq: 0.5}", "{awq: [1]}", 12),
        ("min_memory_gib: 70", "min_memory: 70", 7),
        ("memory_share: 0.9", "memory_share: 9", 8),
        ("memory_share: 0.9", "memory_share: 0.9\nprefix_caching: often", 9),
        ('version: "0.15"', 'version: "0.16"', 2),
        ("checked: 2026-11-23", "checked: soon", 15),
    ],
)
def test_a_mistake_in_an_engine_profile_names_its_line(tmp_path: Path, good: str, bad: str, line: int):
    path = tmp_path / "vllm-0.15.yaml"
    path.write_text(GOOD.replace(good, bad))
    with pytest.raises(CostplanError, match=rf"vllm-0\.15\.yaml:{line}:"):
        load_engine(path)


def test_every_engine_file_is_named_after_what_it_holds():
    for path in profile_path("engines").glob("*.yaml"):
        engine = load_engine(path)
        assert path.stem == f"{engine.name}-{engine.version}"
