"""Models, GPUs and an engine by hand, so that these tests do not move with the profiles."""

from costplan.profiles.engines import Engine, Speed
from costplan.profiles.gpus import Gpu, HourPrice
from costplan.profiles.models import Mla, Model, Moe

LLAMA_8B = Model(
    id="llama-8b", layers=32, hidden=4096, heads=32, kv_heads=8, head_dim=128, width=14336, vocab=128256,
    max_context=131072,
)  # fmt: skip
LLAMA_70B = Model(
    id="llama-70b", layers=80, hidden=8192, heads=64, kv_heads=8, head_dim=128, width=28672, vocab=128256,
    max_context=131072,
)  # fmt: skip
MIXTRAL = Model(
    id="mixtral-8x7b", layers=32, hidden=4096, heads=32, kv_heads=8, head_dim=128, width=14336, vocab=32000,
    max_context=32768, moe=Moe(experts=8, per_token=2, width=14336),
)  # fmt: skip
DEEPSEEK = Model(
    id="deepseek-v3", layers=61, hidden=7168, heads=128, kv_heads=128, head_dim=128, width=18432, vocab=129280,
    max_context=163840, native_precision="fp8",
    moe=Moe(experts=256, per_token=8, width=2048, shared_width=2048, dense_layers=3),
    mla=Mla(kv_rank=512, rope_dim=64, nope_dim=128, value_dim=128, query_rank=1536),
)  # fmt: skip
GPT_OSS_20B = Model(
    id="gpt-oss-20b", layers=24, hidden=2880, heads=64, kv_heads=8, head_dim=64, width=2880, vocab=201088,
    max_context=131072, window=128, windowed_layers=12, native_precision="mxfp4",
    moe=Moe(experts=32, per_token=4, width=2880),
)  # fmt: skip

_PRICE = HourPrice(usd=2.0, low=1.0, high=4.0, source="test", checked="2026-11-23")


def gpu(
    name: str, architecture: str, gib: float, tb_s: float, tflops: dict[str, float], link: str, link_gb_s: float
) -> Gpu:
    """A GPU from its data sheet, with one made-up price."""
    return Gpu(
        name=name, aliases=(), architecture=architecture, memory_bytes=round(gib * 2**30),
        bandwidth_bytes_s=tb_s * 1e12, flops={kind: value * 1e12 for kind, value in tflops.items()}, link=link,
        link_bytes_s=link_gb_s * 1e9, power_w=400, on_demand=_PRICE, reserved=None, spot=None, capex_usd=None,
        clouds={}, source="test", checked="2026-11-23",
    )  # fmt: skip


A100 = gpu("A100-80GB", "ampere", 79.15, 2.039, {"bf16": 312, "int8": 624}, "nvlink", 300)
H100 = gpu("H100", "hopper", 79.2, 3.35, {"bf16": 989, "fp8": 1979, "int8": 1979}, "nvlink", 450)
RTX4090 = gpu("RTX4090", "ada", 23.6, 1.008, {"bf16": 165, "fp8": 330, "int8": 660}, "pcie", 32)


def engine(**speed: float) -> Engine:
    """vLLM-like limits, with the given coefficients."""
    return Engine(
        name="vllm", version="0.15", released="2026-01-01", max_num_seqs=256, max_num_batched_tokens=2048,
        memory_share=0.9, attention={"ampere": "fa2", "ada": "fa2", "hopper": "fa3"},
        speed=Speed(values=speed, source="test"), source="test", checked="2026-11-23",
    )  # fmt: skip
