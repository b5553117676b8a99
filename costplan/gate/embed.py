"""Static word embeddings of a text, from the two files in wordllama's wheel; it has no part of that package's code.

Importing wordllama loads an HTTP client, which opens a socket to see whether the machine knows IPv6.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 256


def embed(text: str) -> NDArray[np.float32]:
    """The mean of the vectors of its tokens; zeros where it has none."""
    table: NDArray[np.float16]
    tokenizer, table = _model()
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    if not ids:
        return np.zeros(DIMENSIONS, np.float32)
    rows: NDArray[np.float32] = np.asarray(table[ids], np.float32)
    mean: NDArray[np.float32] = np.add.reduce(rows, axis=0) / np.float32(len(ids))
    return mean


@cache
def _model() -> tuple[Any, NDArray[np.float16]]:
    """(tokenizer, one row per token); the weights stay in the file until a row is asked for."""
    from tokenizers import Tokenizer

    spec = find_spec("wordllama")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent
    weights = folder / "weights" / "l2_supercat_256.safetensors"
    with weights.open("rb") as file:  # safetensors: a length, a JSON header, then the numbers
        size = int.from_bytes(file.read(8), "little")
        (facts,) = (value for key, value in msgspec.json.decode(file.read(size)).items() if key != "__metadata__")
    assert facts["dtype"] == "F16" and facts["shape"][1] == DIMENSIONS
    table: NDArray[np.float16] = np.memmap(
        weights, np.dtype("<f2"), "r", 8 + size + facts["data_offsets"][0], tuple(facts["shape"])
    )
    return Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json")), table
