"""Texts -> unit vectors, offline, with weights that come inside packages; neighbours are not known here.

Static vectors are the 256-dimensional ones of wordllama (`l2_supercat_256`): the mean over a text's tokens. The files
are read directly, since wordllama's own loader wants to download a tokenizer that lies in the wheel under another name.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
STATIC = "wordllama l2_supercat_256"
_BATCH = 4_096


def static_vectors(texts: Sequence[str]) -> Vectors:
    """(n, 256), of length 1; a text without a known token is all zeros and near to nothing."""
    tokenizer, weights = _static()
    found = np.zeros((len(texts), weights.shape[1]), np.float32)
    for at in range(0, len(texts), _BATCH):
        encoded = tokenizer.encode_batch_fast(list(texts[at : at + _BATCH]), add_special_tokens=False)
        ids = [each.ids for each in encoded]
        counts = np.array([len(each) for each in ids])
        some = np.flatnonzero(counts)
        if len(some):
            starts = np.concatenate([[0], np.cumsum(counts[some])[:-1]])
            flat = np.concatenate([ids[row] for row in some.tolist()])
            found[at + some] = np.add.reduceat(weights[flat], starts, axis=0) / counts[some, None]
    return unit(found)


def unit(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1; zeros stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


@lru_cache(maxsize=1)
def _static() -> tuple[Any, Vectors]:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    spec = find_spec("wordllama")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    weights = next(iter(load_file(folder / "weights" / "l2_supercat_256.safetensors").values()))
    return tokenizer, weights.astype(np.float32)
