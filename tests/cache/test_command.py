"""`costplan cache` as a user meets it: reports as reviewed, label files there and back, mistakes, hostile text."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from costplan.cache.choose import beyond_log
from costplan.results.cache import cache_schema
from costplan.similarity.labels import Bound
from tests.cache.logs import SYSTEM, at_random, by_hand, record, write
from tests.test_cli import Run, mistake, run
from tests.test_startup import HEAVY, WATCHED, loaded_by

__all__ = ["run"]
Golden = Callable[[str, str], None]
REPORTS = {
    "terminal.txt": [], "verbose.txt": ["--verbose"], "report.md": ["--md", "-", "--show-text"],
    "chosen.txt": ["--threshold", "0.9", "--ttl", "1d", "--month-requests", "1M"],
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Path:
    """A folder with both logs, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    by_hand(tmp_path / "hand.jsonl")
    at_random(tmp_path / "random.jsonl", 600)
    return tmp_path


def kind_of(prompt: str) -> bool:
    """What tells answers apart in the tests of labels: the truth is theirs to set, whatever the guard thinks."""
    return prompt.startswith("Can you")


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def filled(path: Path, same: Callable[[dict[str, Any]], str]) -> None:
    """The file with labels, written by another hand."""
    rows = [{**row, "same_answer": same(row)} for row in rows_of(path)]
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=";")  # as a European spreadsheet saves it
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def is_same(row: dict[str, Any]) -> str:
    return "yes" if kind_of(row["prompt"]) == kind_of(row["cached_prompt"]) else "no"


@pytest.mark.parametrize("name", REPORTS)
def test_the_report_reads_as_reviewed(run: Run, here: Path, golden: Golden, name: str) -> None:
    ran = run("cache", "hand.jsonl", *REPORTS[name])
    assert (ran.code, ran.err) == (0, "")
    golden(f"cache/{name}", ran.out)


def test_the_document_fits_its_schema(run: Run, here: Path, golden: Golden) -> None:
    document = json.loads(run("cache", "hand.jsonl", "--json", "-").out)
    jsonschema.Draft202012Validator(cache_schema()).validate(document)
    golden("cache/cache.json", json.dumps({**document, "frontier": document["frontier"][:2]}, indent=2))
    golden("schema/cache.json", run("schema", "cache").out)


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.csv"])
def test_labels_come_back_as_the_wrong_share_that_they_are_drawn_from(
    run: Run, here: Path, golden: Golden, name: str
) -> None:
    """All pairs are labelled, so the share is that of all hits, counted here from --hits."""
    ran = run("cache", "random.jsonl", "--label-sample", "600", name, "-q", "--json", "none.json")
    assert ran.code == 0 and "these are all there are" in ran.err
    rows = rows_of(here / name)
    assert len({row["pair"] for row in rows}) == len(rows) > 30
    assert set(rows[0]) >= {"request_id", "from_request_id", "similarity", "kind", "same_answer", "cached_answer"}
    filled(here / name, is_same)
    labelled = run(
        "cache", "random.jsonl", "--labels", name, "--threshold", "0.8", "--hits", "hits.jsonl", "--json", "-"
    )
    document = json.loads(labelled.out)
    prompts = {
        f"chatcmpl-{number:04d}": json.loads(line)["request"]["messages"][1]["content"]
        for number, line in enumerate((here / "random.jsonl").read_text().splitlines(), 1)
    }
    semantic = [row for row in rows_of(here / "hits.jsonl") if row["kind"] == "semantic"]
    wrong = [kind_of(prompts[row["request_id"]]) != kind_of(prompts[row["from_request_id"]]) for row in semantic]
    assert 0 < sum(wrong) < len(wrong)
    row = document["recommended"]["row"]
    assert document["wrong_basis"] == "labels" and row["semantic_hits"] == len(wrong)
    assert row["wrong_share"] == pytest.approx(sum(wrong) / len(wrong))
    assert row["wrong_low"] == pytest.approx(row["wrong_upper"])  # a census leaves nothing to chance
    assert row["wrong_per_1k_requests"] == pytest.approx(1000 * sum(wrong) / 600)
    if name.endswith(".csv"):
        golden("cache/labelled.txt", run("cache", "random.jsonl", "--labels", name).out)


def test_the_recommended_setting_is_the_loosest_before_the_bound_fails(run: Run, here: Path) -> None:
    run("cache", "random.jsonl", "--label-sample", "600", "labels.jsonl")
    filled(here / "labels.jsonl", is_same)
    document = json.loads(run("cache", "random.jsonl", "--labels", "labels.jsonl", "--json", "-").out)
    rows = [row for row in document["frontier"] if row["ttl_s"] == 3600 and row["threshold"] is not None]
    good = [row for index, row in enumerate(rows) if all(each["wrong_upper"] <= 0.02 for each in rows[: index + 1])]
    assert [row["verified"] for row in rows] == [row in good for row in rows] and 0 < len(good) < len(rows)
    assert document["recommended"]["row"] == max(good, key=lambda row: row["net_usd"])
    assert document["headline"] == f"semantic cache at {document['recommended']['row']['threshold']:g}"
    # a wrong answer that costs more than a hit saves leaves the exact cache; nothing changes where no hit is wrong
    strict = json.loads(
        run(
            "cache", "random.jsonl", "--labels", "labels.jsonl", "--max-wrong", "1", "--penalty", "10", "--json", "-"
        ).out
    )
    for row in strict["frontier"]:
        if row["wrong_share"] is not None:
            expected = row["saved_usd"] - row["cost_usd"] - 10 * row["wrong_share"] * row["semantic_hits"]
            assert row["net_usd"] == pytest.approx(expected)
    assert strict["recommended"]["row"]["wrong_share"] in (None, 0)


def test_without_labels_only_the_exact_cache_is_the_headline(run: Run, here: Path) -> None:
    document = json.loads(run("cache", "random.jsonl", "--json", "-").out)
    assert document["headline"] == "exact cache only" and document["recommended"]["row"]["threshold"] is None
    assert document["wrong_basis"] == "unverified" and document["potential"]["semantic_hits"] > 0
    assert {row["advice"] for row in document["by_call_site"]} == {"exact cache"}


def test_the_log_s_own_answers_are_shown_and_verify_nothing(run: Run, here: Path) -> None:
    """Answers that depend on the thing asked about, not on its wording: hits between wordings agree."""
    at_random(here / "answered.jsonl", 1500)
    records = [json.loads(line) for line in (here / "answered.jsonl").read_text().splitlines()]
    for each in records:
        words = each["request"]["messages"][1]["content"].lower().rstrip("?").split()
        about = " ".join(words[words.index("my") - 1 :])
        each["response"]["choices"][0]["message"]["content"] = f"{TOPICS[hash_of(about) % len(TOPICS)]} {about}."
    write(here / "answered.jsonl", records)
    document = json.loads(run("cache", "answered.jsonl", "--ttl", "1d", "--json", "-").out)
    assert document["wrong_basis"] == "agreement" and document["freshness"]
    row = document["potential"]
    assert row["wrong_share"] is not None and row["wrong_low"] <= row["wrong_share"] <= row["wrong_upper"] < 0.5
    assert document["headline"] == "exact cache only" and document["recommended"]["row"]["threshold"] is None
    assert not any(each["verified"] for each in document["frontier"] if each["threshold"] is not None)


TOPICS = (
    "Open the app and", "Please call us about how to", "A branch will", "Nothing is needed to", "Write a letter to",
    "The website lets you", "Ask your adviser to", "Wait until Monday to", "There is a fee to", "It is not possible to",
)  # fmt: skip


def hash_of(text: str) -> int:
    return sum(index * ord(letter) for index, letter in enumerate(text, 1))


def test_labels_of_other_pairs_are_refused(run: Run, here: Path) -> None:
    run("cache", "random.jsonl", "--label-sample", "40", "labels.csv")
    filled(here / "labels.csv", is_same)
    assert run("cache", "random.jsonl", "--labels", "labels.csv", "--json", "-").code == 0
    error, hint = mistake(run("cache", "random.jsonl", "--labels", "labels.csv", "--ttl", "1d"), 1)
    assert "other pairs" in error and "--ttl" in hint
    assert "other pairs" in mistake(run("cache", "hand.jsonl", "--labels", "labels.csv"), 1)[0]


def test_mistakes_take_two_lines(run: Run, here: Path) -> None:
    (here / "bad.jsonl").write_text('{"pair": 0, "sample": "1-0-ab", "same_answer": "perhaps"}\n')
    (here / "none.csv").write_text("pair,sample,same_answer\n0,1-0-ab,\n")
    (here / "broken.jsonl").write_text("{\n")
    np.save(here / "short.npy", np.ones((3, 8), np.float32))
    cases = [
        (["cache"], 2, "no log is named"),
        (["cache", "nothing.jsonl"], 1, "nothing.jsonl"),
        (["cache", "hand.jsonl", "--threshold", "1.5"], 2, "--threshold"),
        (["cache", "hand.jsonl", "--max-wrong", "0"], 2, "--max-wrong"),
        (["cache", "hand.jsonl", "--label-sample", "0", "x.csv"], 2, "nothing to label"),
        (["cache", "hand.jsonl", "--labels", "nothing.csv"], 1, "No such file"),
        (["cache", "hand.jsonl", "--labels", "bad.jsonl"], 1, "bad.jsonl:1: same_answer"),
        (["cache", "hand.jsonl", "--labels", "none.csv"], 1, "no row is labelled"),
        (["cache", "hand.jsonl", "--labels", "broken.jsonl"], 1, "broken.jsonl:1: not a JSON object"),
        (["cache", "hand.jsonl", "--labels", "hand.jsonl"], 1, "hand.jsonl:1: not a row"),
        (["cache", "hand.jsonl", "--embeddings", "short.npy"], 1, "short.npy"),
        (["cache", "hand.jsonl", "--hits", "no/such/folder.csv"], 1, "cannot be written"),
        (["cache", "hand.jsonl", "--md", "-", "--json", "-"], 2, "both want stdout"),
    ]  # fmt: skip
    for arguments, code, told in cases:
        assert told in mistake(run(*arguments), code)[0], arguments


def test_vectors_of_ones_own_take_the_place_of_the_static_ones(run: Run, here: Path) -> None:
    """All prompts alike: from the second prompt of a context on, every request whose pair the guard passes hits."""
    np.save(here / "vectors.npy", np.tile(np.eye(1, 8, dtype=np.float32), (12, 1)))
    ran = run("cache", "hand.jsonl", "--embeddings", "vectors.npy", "--threshold", "0.99", "--ttl", "1h", "--json", "-")
    document = json.loads(ran.out)
    assert document["embedder"] == "your vectors (vectors.npy)"
    assert (
        document["recommended"]["row"]["hit_share_unguarded"] == 0.7
    )  # of ten, without the first of each context and the 10th


def test_the_exported_configuration_names_the_setting(run: Run, here: Path) -> None:
    run("cache", "hand.jsonl", "--threshold", "0.9", "--ttl", "1d", "--export", "cache.yaml")
    content = yaml.safe_load((here / "cache.yaml").read_text())
    assert content["cache"]["threshold_cosine"] == 0.9 and content["cache"]["ttl_s"] == 86400
    assert content["products"]["redisvl"]["SemanticCache"] == {"distance_threshold": 0.1, "ttl": 86400}
    assert content["products"]["gptcache"]["Config"]["similarity_threshold"] == 0.95
    assert content["cache"]["verified"] is False
    run("cache", "hand.jsonl", "--export", "exact.yaml")
    exact = yaml.safe_load((here / "exact.yaml").read_text())
    assert exact["cache"]["kind"] == "exact" and "products" not in exact and exact["cache"]["call_sites"] == ["help"]


@pytest.mark.parametrize("options", [[], ["--verbose"], ["--md", "-"], ["--show-text"], ["--md", "-", "--show-text"]])
def test_hostile_text_is_neither_shown_nor_interpreted(run: Run, here: Path, options: list[str]) -> None:
    hostile = "=HYPERLINK(1) \x1b[31m[bold]|x</script> secret"
    records = [record(number, 60 * number, "u1", hostile, SYSTEM) for number in range(1, 5)]
    for each in records:
        each["feature"] = "\x1b[31m[bold]|x\n</script>"
    write(here / "hostile.jsonl", records)
    ran = run("cache", "hostile.jsonl", *options)
    assert ran.code == 0
    shown = ran.out + ran.err
    assert not {character for character in shown if not (character.isprintable() or character == "\n")}
    assert ("secret" in shown) == ("--show-text" in options)
    assert "--md" not in options or "</script>" not in ran.out


def test_a_spreadsheet_runs_nothing_from_the_label_file(run: Run, here: Path) -> None:
    prompts = ("=1+1 how do I freeze my card?", "=1+1 how can I freeze my card?")
    write(here / "formula.jsonl", [record(n, 60 * n, "u1", prompt) for n, prompt in enumerate(prompts, 1)])
    assert run("cache", "formula.jsonl", "--label-sample", "5", "labels.csv").code == 0
    (row,) = rows_of(here / "labels.csv")
    assert row["prompt"] == "'" + prompts[1] and row["cached_prompt"] == "'" + prompts[0]
    assert (row["cached_answer"], row["logged_answer"]) == ("Answer 1.", "Answer 2.")


def test_the_same_log_gives_the_same_bytes(run: Run, here: Path) -> None:
    options = ("cache", "random.jsonl", "--label-sample", "20", "labels.csv", "--json", "-")
    first, drawn = run(*options).out, (here / "labels.csv").read_bytes()
    assert run(*options).out == first and (here / "labels.csv").read_bytes() == drawn
    assert len(rows_of(here / "labels.csv")) == 20


def test_no_socket_is_touched_and_help_is_light(tmp_path: Path) -> None:
    log = by_hand(tmp_path / "log.jsonl")
    loaded_by("cache", log, "--workers", "1", before=WATCHED)
    assert loaded_by("cache", "--help") & HEAVY == set()
    assert loaded_by("schema", "cache") & HEAVY == set()


def test_where_every_pair_is_labelled_new_pairs_still_have_a_bound() -> None:
    """Rule of three: none wrong of 300 bounds the share at 1 - 0.05^(1/300) = 0.99 %; all wrong bounds nothing."""
    none, all_of_five = (
        Bound(value=each, low=each, high=each, upper=each, labels=n, missing=0) for each, n in ((0.0, 300), (1.0, 5))
    )
    assert beyond_log(none) == pytest.approx(1 - 0.05 ** (1 / 300))
    assert beyond_log(all_of_five) == 1.0
