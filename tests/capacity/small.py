"""A replica whose step takes as long as the test says, so that capacities can be computed by hand."""

from dataclasses import replace

import numpy as np
from costplan.capacity.layout import Layout, Tuning, layout_of
from costplan.profiles.engines import find_engine
from costplan.profiles.gpus import find_gpu
from costplan.profiles.models import find_model
from costplan.serving.step_time import StepTime

TEN_MS = 0.010


def layout(
    *, seqs: int = 8, tokens: int = 512, blocks: int = 4096, step_s: float = TEN_MS, token_s: float = 0.0
) -> Layout:
    """Llama-3.1-8B on one A100 by name only: a step takes `step_s` and `token_s` for each of its tokens."""
    made = layout_of(find_model("llama-3.1-8b"), find_gpu("A100"), find_engine("vllm@0.15.1"), tuning=Tuning())
    step = StepTime(base_s=step_s + token_s * np.arange(tokens + 1.0), pair_s=0.0, context_token_s=0.0)
    config = replace(made.config, max_num_seqs=seqs, max_num_batched_tokens=tokens, blocks=blocks, watermark_blocks=0)
    return replace(made, step=step, config=config)
