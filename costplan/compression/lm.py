"""How surprised a causal language model on this machine is by each word (optional extra `lm`); it downloads nothing.

Surprisal of a token: -log2 p(token | the tokens before it), summed over a word's tokens; the scoring of Selective
Context (Li et al. 2023, arXiv:2310.06201) with a model instead of counts.
"""

import os
from importlib import import_module
from math import log
from pathlib import Path
from typing import Any

from costplan.compression.words import Counts, Words
from costplan.errors import CostplanError

WINDOW_TOKENS, OVERLAP_TOKENS = 1024, 256
_INSTALL = "pip install torch, then pip install 'costplan[lm]'"


class LanguageModel:
    """A Hugging Face model directory, or one GGUF file with its tokenizer inside.

    Raises:
        CostplanError: torch or transformers are missing, or the path holds no causal model.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise CostplanError(f"{path}: no such model", hint="--lm takes a model directory or a .gguf file")
        os.environ.setdefault("TQDM_DISABLE", "1")  # no bars of other programs
        try:
            self._torch: Any = import_module("torch")
            library: Any = import_module("transformers")
            library.utils.logging.disable_progress_bar()
        except ModuleNotFoundError as error:
            raise CostplanError(f"--lm needs {error.name}, which is not installed", hint=_INSTALL) from None
        options: dict[str, Any] = {"local_files_only": True}
        if path.suffix == ".gguf":
            options["gguf_file"], path = path.name, path.parent
        try:
            self._tokenizer: Any = library.AutoTokenizer.from_pretrained(path, **options)
            if "gguf_file" in options:
                options["quantization_config"] = library.GgufConfig(dequantize=True)
            self._model: Any = library.AutoModelForCausalLM.from_pretrained(
                path, dtype=self._torch.float32, **options
            ).eval()
        except (OSError, ValueError, KeyError, ImportError) as error:
            reason = str(error).strip().partition("\n")[0][:200]
            raise CostplanError(f"{path}: no causal language model: {reason}", hint=_INSTALL) from None

    def surprisal(self, text: str) -> list[tuple[int, float]]:
        """(start, bits) of every token of a text; long texts in windows that overlap."""
        torch = self._torch
        found = self._tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
        ids, offsets = found["input_ids"], found["offset_mapping"]
        first = self._tokenizer.bos_token_id
        ids = [ids[0] if first is None else first, *ids] if ids else []
        bits: list[float] = []
        while len(bits) < len(offsets):
            start = max(0, len(bits) - OVERLAP_TOKENS)
            window = torch.tensor([ids[start : start + WINDOW_TOKENS]])
            with torch.inference_mode():
                logits = self._model(window).logits[0, len(bits) - start : -1]
            log_p = torch.log_softmax(logits, dim=-1)
            told = log_p.gather(1, window[0, len(bits) - start + 1 :, None])[:, 0]
            bits += (-told / log(2)).tolist()
        return [(start, each) for (start, _), each in zip(offsets, bits, strict=True)]

    def score(self, words: Words, question: str, counts: Counts) -> list[float]:
        """Bits by which each word surprises in its block; a `lossy.Score`."""
        found: list[float] = []
        for number, block in enumerate(words.blocks):
            tokens = self.surprisal(block)
            token, end = 0, 0
            while len(found) < len(words.text) and words.block[len(found)] == number:
                end += len(words.before[len(found)]) + len(words.text[len(found)])
                first = token
                while token < len(tokens) and tokens[token][0] < end:
                    token += 1
                found.append(sum(bits for _, bits in tokens[first:token]))
        return found
