"""How surprised a causal language model on this machine is by each word (optional extra `lm`); it downloads nothing.

Surprisal of a token: -log2 p(token | the tokens before it), summed over a word's tokens; the scoring of Selective
Context (Li et al. 2023, arXiv:2310.06201) with a model instead of counts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from costplan.compression.lossy import Count
from costplan.compression.words import Counts, Words, best, words_of
from costplan.errors import CostplanError

WINDOW_TOKENS, OVERLAP_TOKENS = 1024, 256
_INSTALL = "pip install 'costplan[lm]', after pip install torch"


class LanguageModel:
    """A Hugging Face model directory, or one GGUF file with its tokenizer inside.

    Raises:
        CostplanError: torch or transformers are missing, or the path holds no causal model.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise CostplanError(f"{path}: no such model", hint="--lm takes a model directory or a .gguf file")
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
        except ModuleNotFoundError as error:
            raise CostplanError(f"--lm needs {error.name}, which is not installed", hint=_INSTALL) from None
        names: dict[str, Any] = {"local_files_only": True}
        if path.suffix == ".gguf":
            names |= {"gguf_file": path.name}
            path = path.parent
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(path, **names)
            if "gguf_file" in names:
                names["quantization_config"] = GgufConfig(dequantize=True)
            self._model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, **names).eval()
        except (OSError, ValueError, KeyError, ImportError) as error:
            reason = str(error).splitlines()[0][:200]
            raise CostplanError(f"{path}: no causal language model: {reason}", hint=_INSTALL) from None
        self._torch: Any = torch
        self.name = path.name

    def surprisal(self, text: str) -> list[tuple[int, int, float]]:
        """(start, end, bits) of every token of a text; long texts in windows that overlap."""
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
                logits = self._model(window).logits[0, len(bits) - start : -1].double()
            log_p = torch.log_softmax(logits, dim=-1)
            told = log_p.gather(1, window[0, len(bits) - start + 1 :, None])[:, 0]
            bits += (-told / torch.log(torch.tensor(2.0, dtype=torch.float64))).tolist()
        return [(start, end, each) for (start, end), each in zip(offsets, bits, strict=True)]

    def compress(self, blocks: Sequence[str], question: str, budget: int, counts: Counts, count: Count) -> list[str]:
        """The words that surprise most, block by block; a `lossy.Compressor`."""
        words = words_of(blocks)
        return best(blocks, words, self._bits(blocks, words), budget, count)

    def _bits(self, blocks: Sequence[str], words: Words) -> list[float]:
        found: list[float] = []
        at = 0
        for number, block in enumerate(blocks):
            tokens = self.surprisal(block)
            token, place = 0, 0
            while at < len(words.text) and words.block[at] == number:
                place += len(words.before[at])
                end, bits = place + len(words.text[at]), 0.0
                while token < len(tokens) and tokens[token][0] < end:
                    bits += tokens[token][2]
                    token += 1
                found.append(bits)
                at, place = at + 1, end
        return found
