"""Step times from operator tables: near the roofline where both exist, and a clear word where they do not."""

import importlib.util

import numpy as np
import pytest
from costplan.errors import CostplanError
from costplan.profiles.engines import find_engine
from costplan.profiles.gpus import find_gpu
from costplan.profiles.models import find_model
from costplan.serving.roofline import roofline
from costplan.serving.silicon import silicon

INSTALLED = importlib.util.find_spec("aiconfigurator_core") is not None


@pytest.mark.skipif(INSTALLED, reason="the optional package is here")
def test_without_the_package_the_error_says_what_to_install() -> None:
    with pytest.raises(CostplanError, match="aiconfigurator-core") as raised:
        silicon(find_model("llama-3.1-8b"), find_gpu("H100"), find_engine("vllm@0.15.1"))
    assert "costplan[silicon]" in raised.value.hint


@pytest.mark.skipif(not INSTALLED, reason="needs pip install 'costplan[silicon]'")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("model", "gpu", "tp"), [("llama-3.1-8b", "H100", 1), ("llama-3.1-70b", "A100", 4)])
def test_tables_and_roofline_agree(model: str, gpu: str, tp: int) -> None:
    parts = find_model(model), find_gpu(gpu), find_engine("vllm@0.15.1")
    table, line = silicon(*parts, tp=tp, max_tokens=8192), roofline(*parts, tp=tp, max_tokens=8192)
    assert table.basis == "silicon"
    for tokens in (1, 32, 256, 2048, 8192):
        assert table.base_s[tokens] == pytest.approx(line.base_s[tokens], rel=0.35)
    assert table.context_token_s == pytest.approx(line.context_token_s, rel=0.5)
    assert np.all(np.diff(table.base_s) >= 0)


@pytest.mark.skipif(not INSTALLED, reason="needs pip install 'costplan[silicon]'")
@pytest.mark.filterwarnings("ignore")
def test_a_missing_table_is_named() -> None:
    with pytest.raises(CostplanError, match="int4"):
        silicon(find_model("llama-3.1-8b"), find_gpu("H100"), find_engine("vllm@0.15.1"), precision="awq")
