"""Words scored by a language model on this machine, in the environment that holds one (`make vllm`)."""

import json
import subprocess

import pytest
from tests.vllm.conftest import BF16, MODELS, PYTHON, ROOT

TEXT = "The first Nobel Prize in Physics was awarded in 1901 to Wilhelm Conrad Röntgen. " * 90
SCRIPT = """
import json, sys
from math import log
from pathlib import Path
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from costplan.compression.lm import WINDOW_TOKENS, LanguageModel
from costplan.compression.words import counted, words_of
path, text = sys.argv[1:]
ours = LanguageModel(Path(path))
found = ours.surprisal(text)
words = words_of([text[:400], "Röntgen was  born\\nin 1845."])
tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
plain = tokenizer(text, add_special_tokens=False)["input_ids"]
ids = torch.tensor([[tokenizer.bos_token_id, *plain]])[:, :WINDOW_TOKENS]
with torch.inference_mode():
    loss = float(model(ids, labels=ids).loss)
second = sum(bits for _, bits in ours.surprisal("Röntgen was  born\\nin 1845."))
print(json.dumps({
    "n": len(found), "tokens": len(plain),
    "window": sum(bits for _, bits in found[:WINDOW_TOKENS - 1]), "theirs": loss * (ids.shape[1] - 1) / log(2),
    "scores": ours.score(words, "", counted(words.blocks)), "words": words.text, "second": second,
    "last": sum(bits for _, bits in found[-200:]) / 200,
}))
"""


@pytest.mark.parametrize("model", [BF16])
def test_surprisal_is_the_loss_that_transformers_computes(model: str) -> None:
    """Within the first window the sum of bits is loss x tokens / ln 2; beyond it a text that repeats itself is as
    little of a surprise as before; a word's bits are those of its tokens."""
    command = [str(PYTHON), "-c", SCRIPT, str(MODELS / model), TEXT]
    ran = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout)
    assert found["n"] == found["tokens"] > 1024 + 256
    assert found["window"] == pytest.approx(found["theirs"], rel=1e-3)
    assert found["last"] < 0.5
    assert len(found["scores"]) == len(found["words"])
    assert sum(found["scores"][found["words"].index("born") - 2 :]) == pytest.approx(found["second"], rel=1e-3)
