"""GPU profiles: names from drivers and logs, counts, prices in order, mistakes with a line."""

from pathlib import Path

import pytest
from costplan.errors import CostplanError
from costplan.profiles import profile_path
from costplan.profiles.gpus import Gpu, all_gpus, find_gpu, load_gpu, parse_gpus


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("A100", "A100"),
        ("a100-80gb", "A100"),
        ("A100-SXM4-80GB", "A100"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A100 80GB PCIe", "A100-PCIe"),
        ("A100-40GB", "A100-40GB"),
        ("H100", "H100"),
        ("h100_sxm", "H100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("H100 SXM 80GB", "H100"),
        ("H100-PCIe", "H100-PCIe"),
        ("H200 SXM 141GB", "H200"),
        ("NVIDIA H20-3e", "H20-3e"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("NVIDIA GeForce RTX 3090", "RTX3090"),
        ("NVIDIA RTX A6000", "A6000"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX6000-Ada"),
        ("NVIDIA L4", "L4"),
        ("Tesla T4", "T4"),
        ("Tesla V100S-PCIE-32GB", "V100S"),
        ("cpu", "CPU"),
    ],
)
def test_a_gpu_is_found_by_what_drivers_and_logs_call_it(written: str, name: str):
    assert find_gpu(written).name == name


@pytest.mark.parametrize(
    ("spec", "count", "name"),
    [
        ("4xA100", 4, "A100"),
        ("A100", 1, "A100"),
        ("1xCPU", 1, "CPU"),
        (" 8 x h100_sxm ", 8, "H100"),
        ("2×L40S", 2, "L40S"),
    ],
)
def test_gpus_are_counted(spec: str, count: int, name: str):
    found, gpu = parse_gpus(spec)
    assert (found, gpu.name) == (count, name)


@pytest.mark.parametrize("spec", ["0xA100", "-1xA100", "1.5xA100", "", "  ", "4x", "fourxA100", "4xZ9000"])
def test_a_wrong_count_or_name_gets_a_hint(spec: str):
    with pytest.raises(CostplanError) as error:
        parse_gpus(spec)
    assert error.value.hint


def test_an_unknown_gpu_gets_the_nearest_names():
    with pytest.raises(CostplanError, match="H10O: unknown GPU") as error:
        find_gpu("H10O")
    assert "H100" in error.value.hint


@pytest.mark.parametrize("gpu", all_gpus(), ids=lambda gpu: gpu.name)
def test_every_gpu_is_plausible_sourced_and_dated(gpu: Gpu):
    assert len(gpu.source) > 10 and gpu.checked >= "2026-01-01"
    assert 2**33 < gpu.memory_bytes < 2**38 and 1e11 < gpu.bandwidth_bytes_s < 1e13
    assert gpu.flops["bf16"] <= gpu.flops.get("int8", gpu.flops["bf16"])
    assert find_gpu(gpu.name) == gpu
    for price in (gpu.on_demand, gpu.reserved, gpu.spot, gpu.capex_usd, *gpu.clouds.values()):
        if price is not None:
            assert 0 < price.low <= price.usd <= price.high and len(price.source) > 3 and price.checked
    if gpu.reserved is not None:
        assert gpu.reserved.usd == pytest.approx(0.65 * gpu.on_demand.usd, rel=0.02)


def test_a_file_name_matches_the_name_inside():
    for path in profile_path("gpus").glob("*.yaml"):
        assert load_gpu(path).name == path.stem


def test_no_two_gpus_share_a_name():
    claimed: dict[str, str] = {}
    for gpu in all_gpus():
        for each in {gpu.name.lower(), *(alias.lower() for alias in gpu.aliases)}:
            assert claimed.setdefault(each, gpu.name) == gpu.name


def test_an_a100_by_its_data_sheet():
    """2,039 GB/s, 312 dense TFLOP/s, NVLink 600 GB/s both ways together; of 80 GB CUDA reports 79.25 GiB."""
    gpu = find_gpu("A100")
    assert gpu.memory_bytes == int(79.25 * 2**30)
    assert (gpu.bandwidth_bytes_s, gpu.flops["bf16"], gpu.link_bytes_s) == (2039e9, 312e12, 300e9)
    assert "fp8" not in gpu.flops


def test_hyperscalers_sell_the_big_ones_in_eights():
    assert find_gpu("A100").cloud_instance_gpus["aws"] == (8,)
    assert find_gpu("A100").instance_gpus == (1, 2, 4, 8)


def test_a_gpu_of_ones_own_is_a_file(tmp_path: Path):
    path = tmp_path / "my-cpu.yaml"
    path.write_text(profile_path("gpus", "CPU.yaml").read_text().replace("bandwidth_gb_s: 200", "bandwidth_gb_s: 90"))
    count, gpu = parse_gpus(f"2x{path}")
    assert (count, gpu.bandwidth_bytes_s) == (2, 90e9)


@pytest.mark.parametrize(
    ("good", "bad", "line"),
    [
        ("link: pcie", "link: carrier-pigeon", 7),
        ("power_w: 72", "power_w: .nan", 9),
        ("power_w: 72", "power: 72", 9),
        ("tflops: {bf16: 121", "tflops: {bf15: 121", 6),
        ("tflops: {bf16: 121, ", "tflops: {", 6),
        ("usd: 0.8, low: 0.5", "usd: 0.8, low: 0.9", 10),
        ("memory_gib: 22.03", "memory_gib: -1", 4),
    ],
)
def test_a_mistake_in_a_gpu_profile_names_its_line(tmp_path: Path, good: str, bad: str, line: int):
    text = profile_path("gpus", "L4.yaml").read_text()
    assert good in text
    path = tmp_path / "g.yaml"
    path.write_text(text.replace(good, bad))
    with pytest.raises(CostplanError, match=rf"g\.yaml:{line}:"):
        load_gpu(path)
