"""Token counts of text, offline: exact where OpenAI's vocabularies apply, an estimate that says so elsewhere.

The vocabularies ship with costplan, so nothing is ever downloaded. Other vendors' tokenizers are not known here:
their text is counted with o200k_base and the caller labels it `estimated`.
"""

import os
from collections.abc import Callable
from functools import cache

from costplan.errors import CostplanError
from costplan.profiles import profile_path

TOKENS_PER_MESSAGE = 3
"""Chat framing around a message, gpt-3.5 to gpt-4o: OpenAI cookbook, "How to count tokens with tiktoken", 2024-07."""
TOKENS_PER_REPLY = 3
"""Every reply is primed with <|start|>assistant<|message|> (same source)."""

_MEMO_CHARS = 16_000_000
# The mapping below is tiktoken's own (tiktoken/model.py 0.14), for the two vocabularies that ship here.
_O200K = ("gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "gpt-6", "gpt-oss", "chatgpt-4o", "o1", "o3", "o4")
_CL100K = ("gpt-4", "gpt-3.5", "gpt-35", "text-embedding-3", "text-embedding-ada-002")
# Texts with their tiktoken counts: a faster counter has to reproduce them before it is used.
_CANARIES = {
    "Hello, world!": {"o200k_base": 4, "cl100k_base": 4},
    "def f(x):\n\treturn {'a': [x, 1.5e-3]}  # größer als 0 — naïve": {"o200k_base": 28, "cl100k_base": 29},
    "東京の天気は？ 안녕하세요 👩‍👩‍👧‍👦 <|endoftext|>": {"o200k_base": 26, "cl100k_base": 35},
    "  \n\n\t  12345678901234567890 ﷽ abc": {"o200k_base": 14, "cl100k_base": 14},
}


def encoding_of(model: str) -> tuple[str, bool]:
    """(vocabulary, exact) for a model name: exact only where the model is known to use that vocabulary."""
    name = model.lower().rsplit("/", 1)[-1].removeprefix("ft:")
    if name.startswith(_O200K):
        return "o200k_base", True
    if name.startswith(_CL100K):
        return "cl100k_base", True
    return "o200k_base", False


@cache
def counter(encoding: str) -> Callable[[str], int]:
    """A function text -> tokens for a vocabulary, remembering texts it has seen (bounded)."""
    count = _fast_counter(encoding) or _tiktoken_counter(encoding)
    memo: dict[str, int] = {}
    held = 0

    def remembered(text: str) -> int:
        nonlocal held
        tokens = memo.get(text)
        if tokens is None:
            held += len(text)
            if held > _MEMO_CHARS:
                memo.clear()
                held = len(text)
            tokens = memo[text] = count(text)
        return tokens

    return remembered


def encode(text: str, encoding: str) -> list[int]:
    """Token ids of a text (special tokens are plain text)."""
    return _tiktoken(encoding)(text)


def _tiktoken_counter(encoding: str) -> Callable[[str], int]:
    ordinary = _tiktoken(encoding)
    return lambda text: len(ordinary(text))


@cache
def _tiktoken(encoding: str) -> Callable[[str], list[int]]:
    import tiktoken

    folder = profile_path("tokenizers")
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)  # tiktoken reads it once, here; it checks the file's sha256
    try:
        if not any(folder.glob("[0-9a-f]*")):
            raise CostplanError(f"{folder}: the tokenizer vocabularies are missing", hint="reinstall costplan")
        return tiktoken.get_encoding(encoding).encode_ordinary
    finally:
        if before is None:
            del os.environ["TIKTOKEN_CACHE_DIR"]
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before


def _fast_counter(encoding: str) -> Callable[[str], int] | None:
    """toktok-rs (extra `fast`), 10 times faster, if it agrees with tiktoken on the canaries; else None."""
    try:
        import toktok
    except ModuleNotFoundError as error:
        if error.name != "toktok":
            raise
        return None
    if toktok.batch_count(list(_CANARIES), encoding, threads=1) != [known[encoding] for known in _CANARIES.values()]:
        return None

    def count(text: str) -> int:
        try:
            return toktok.batch_count([text], encoding, threads=1)[0]
        except UnicodeEncodeError:  # lone surrogates: mended as tiktoken does it
            mended = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            return toktok.batch_count([mended], encoding, threads=1)[0]

    return count
