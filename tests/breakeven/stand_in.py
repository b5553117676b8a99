"""Replicas of known speed instead of a simulation, so that figures can be worked out by hand."""

from typing import Any

import numpy as np
import pytest
from costplan.breakeven import breakeven
from costplan.breakeven.layouts import Served
from costplan.results import Plan
from costplan.results.breakeven import Breakeven
from costplan.settings import BreakevenSettings


def rows(count: int) -> list[Served]:
    """1 x TP-all at 2 req/s a GPU, and one GPU each at 1.5; halves do not fit."""
    whole = Served(
        name=f"1 x TP{count}", tp=count, replicas=1, weights_bytes=140e9, req_s=2.0 * count, error_band=0.2,
        ttft_p95_s=0.8, tpot_p95_s=0.04, e2e_p95_s=9.0, binding="tpot.p95<100ms", step_time="estimated",
    )  # fmt: skip
    single = Served(
        name=f"{count} x TP1", tp=1, replicas=count, weights_bytes=70e9, req_s=1.5, error_band=0.2, ttft_p95_s=1.1,
        tpot_p95_s=0.06, e2e_p95_s=13.0, binding="tpot.p95<100ms", step_time="estimated",
    )  # fmt: skip
    refused = Served(name=f"{count // 2} x TP2", tp=2, replicas=count // 2, reason="needs 70 GiB, the GPU gives 60")
    return [whole, single, refused] if count > 2 else [whole]


def use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every comparison of this test is on these rows."""

    def served(count: int, *_: Any) -> list[Served]:
        return rows(count)

    monkeypatch.setattr("costplan.breakeven.run.served", served)


def compare(plan: Plan | None = None, seed: int = 0, **settings: Any) -> Breakeven:
    """One comparison; GPUs, model and volume as given, else 4 A100 and Llama 3.3 70B."""
    chosen = BreakevenSettings(**{"gpus": "4xA100"} | settings)
    return breakeven(chosen, {}, np.random.default_rng(seed), plan=plan, plan_name="plan.json")
