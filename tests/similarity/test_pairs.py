"""Labelled pairs: reading them, and what a cache with the static vectors would serve of 300 of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from costplan.errors import CostplanError
from costplan.similarity.guard import DEFAULT_THRESHOLD
from costplan.similarity.pairs import UNNAMED, Evaluation, Pair, Pairs, evaluate, read_pairs

FOW = Path(__file__).parent / "data" / "fow_pairs.jsonl"
ROW = '{"a": "x", "b": "y", "same_answer": true}\n'


def half(odd: int) -> Pairs:
    """The rows of even (0) or odd (1) number, without the ambiguous ones."""
    rows = [json.loads(line) for line in FOW.read_text("utf-8").splitlines()[odd::2]]
    return Pairs(
        tuple(Pair(r["a"], r["b"], r["same_answer"], r["category"]) for r in rows if not r.get("ambiguous")),
        sum(bool(r.get("ambiguous")) for r in rows),
    )


def shares(found: Evaluation) -> dict[str, float]:
    return {row.category: row.served_share for row in found.rows}


def along(texts: object) -> np.ndarray:
    """Unit vectors at the angle whose cosine is the text's number."""
    cosine = np.array([float(str(text).split()[0]) for text in texts])  # type: ignore[attr-defined]
    return np.stack([cosine, np.sqrt(1 - cosine**2)], axis=1).astype(np.float32)


def test_on_the_half_it_was_tuned_on_no_trap_is_served() -> None:
    found = evaluate(half(0), DEFAULT_THRESHOLD)
    assert found.served.different is not None and found.served.different <= 0.01
    assert shares(found)["near_repeat"] >= 0.9


def test_on_the_half_held_back_few_traps_and_most_repeats_are_served() -> None:
    """148 pairs not looked at while the rules were made, at the default setting (0.78).

    Served: negation 0 of 17, number_date 0 of 20, entity_swap 0 of 18, scope 1 of 18 (1.4 % of all traps),
    near_repeat 21 of 25 (84 %), paraphrase 7 of 50 (14 %). Without the guard 48 % of the traps are served.
    """
    found = evaluate(half(1), DEFAULT_THRESHOLD)
    assert found.served.different is not None and found.served.different <= 0.05
    assert shares(found)["near_repeat"] >= 0.70
    assert shares(found)["paraphrase"] >= 0.10


def test_without_the_guard_the_cosine_serves_many_traps() -> None:
    bare, guarded = (evaluate(half(1), DEFAULT_THRESHOLD, guard=guard) for guard in (False, True))
    assert bare.served.different is not None and bare.served.different > 0.4
    assert bare.served.same is not None and guarded.served.same is not None and bare.served.same > guarded.served.same
    assert all(shares(bare)[kind] >= share for kind, share in shares(guarded).items())


def test_the_file_of_pairs_is_read_and_ambiguous_rows_are_counted() -> None:
    pairs = read_pairs(FOW)
    assert (len(pairs.rows), pairs.ambiguous) == (296, 4)
    assert pairs.rows[0] == Pair("Cancel my subscription", "Don't cancel my subscription", False, "negation")


def test_shares_are_counted_by_category_and_label() -> None:
    """The vector of a text is at the angle of its number; against `1` the cosine is that number."""
    rows = (
        Pair("1", "1 same", True, "near"),  # cosine 1: served
        Pair("1", "0.9", True, "near"),  # another number: objected to, above the threshold
        Pair("1 in a", "1 in b", False, "near"),  # cosine 1; one word replaced
        Pair("1", "0.5", False),
    )
    found = evaluate(Pairs(rows, 3), 0.8, guard=False, embed=along)
    assert found.served.same == 1.0 and found.served.different == 0.5
    assert [(row.category, row.same_answer, row.n, row.served_share) for row in found.rows] == [
        (UNNAMED, False, 1, 0.0), ("near", False, 1, 1.0), ("near", True, 2, 1.0),
    ]  # fmt: skip
    assert found.ambiguous == 3
    guarded = evaluate(Pairs(rows, 3), 0.8, embed=along)
    assert guarded.served.different == 0.0 and guarded.served.same == 0.0


def test_the_same_prompt_is_served_at_any_threshold() -> None:
    rows = (Pair("Reset it", "reset it", True), Pair("Reset it", "Reset that", True))
    found = evaluate(Pairs(rows, 0), 1.1, same=lambda a, b: a.lower() == b.lower())
    assert found.served.same == 0.5 and found.served.different is None


def test_pairs_in_other_languages_are_counted() -> None:
    rows = (Pair("Wie kann ich das ändern?", "Wie ändere ich das?", True), Pair("Reset it", "Reset that", True))
    assert evaluate(Pairs(rows, 0), 0.8).numbers_only == 1


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (ROW + "{oops}\n", ":2:", "malformed"),
        (ROW + "\n" + '{"a": "x", "same_answer": true}\n', ":3:", "`b`"),
        ('{"a": "x", "b": "y", "same_answer": "yes"}\n', ":1:", "bool"),
        ('{"a": "x", "b": 3, "same_answer": true}\n', ":1:", "str"),
        ("[1]\n", ":1:", "object"),
        ("\n", "", "no labelled pair"),
    ],
)
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, text: str, where: str, what: str) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(text, "utf-8")
    with pytest.raises(CostplanError) as error:
        read_pairs(file)
    assert f"pairs.jsonl{where}" in error.value.message and what in error.value.message
    assert "same_answer" in error.value.hint


def test_bytes_that_are_no_text_are_named_by_their_line(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(ROW.encode() + b'{"a": "\xff", "b": "y", "same_answer": true}\n')
    with pytest.raises(CostplanError, match=r"pairs\.jsonl:2:"):
        read_pairs(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CostplanError, match=r"none\.jsonl: No such file"):
        read_pairs(tmp_path / "none.jsonl")
