"""Rows of --hits against another replay, written here from the description alone, and against an answer by hand."""

import csv
import json
import unicodedata
from collections import OrderedDict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from costplan.similarity.embed import static_vectors
from costplan.similarity.guard import objection
from tests.cache.logs import at_random, by_hand
from tests.test_cli import Run, run

__all__ = ["run"]
COST = 30 * 0.15e-6 + 100 * 0.60e-6
BY_HAND = [
    ("chatcmpl-0002", "chatcmpl-0001", "exact", 60.0),
    ("chatcmpl-0003", "chatcmpl-0001", "respelled", 120.0),
    ("chatcmpl-0004", "chatcmpl-0001", "semantic", 180.0),
    ("chatcmpl-0011", "chatcmpl-0010", "exact", 60.0),
]


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Of JSONL or CSV."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", ["hits.jsonl", "hits.csv"])
def test_the_hits_of_a_log_are_those_worked_out_by_hand(run: Run, tmp_path: Path, name: str) -> None:
    log = by_hand(tmp_path / "log.jsonl")
    ran = run("cache", log, "--threshold", "0.9", "--ttl", "1h", "--hits", str(tmp_path / name), "--json", "-")
    assert ran.code == 0, ran.err
    found = rows_of(tmp_path / name)
    assert [(row["request_id"], row["from_request_id"], row["kind"], float(row["age_s"])) for row in found] == BY_HAND
    assert all(float(row["usd"]) == pytest.approx(COST) for row in found)
    assert [float(row["similarity"]) == 1 for row in found] == [True, True, False, True]
    document = json.loads(ran.out)
    assert (document["requests"], document["eligible"], document["prompts"]) == (12, 10, 6)
    assert document["ineligible"] == {"failed": 1, "asks about now (today, latest, ...)": 1}
    assert document["eligible_usd"] == pytest.approx(10 * COST)
    row = document["recommended"]["row"]
    assert (row["exact_hits"], row["respelled_hits"], row["semantic_hits"]) == (2, 1, 1)
    assert (row["hit_share"], row["hit_usd_share"], row["hit_token_share"]) == (0.4, 0.4, 0.4)
    assert row["hit_share_unguarded"] == 0.6  # unfreeze and the other number of cards
    assert row["saved_usd"] == pytest.approx(4 * COST)
    shares = {each["scope"]: each["hit_share"] for each in document["by_scope"]}
    assert shares == {"global": 0.4, "user": 0.1}  # of one user only the respelled one comes back


def test_the_cost_of_the_cache_is_worked_out_by_hand(run: Run, tmp_path: Path) -> None:
    log = by_hand(tmp_path / "log.jsonl")
    frontier = json.loads(run("cache", log, "--threshold", "0.9", "--ttl", "1h", "--json", "-").out)["frontier"]
    exact = next(row for row in frontier if row["threshold"] is None)
    lookup, byte_hours = 0.0034e-6, 4.5 * 1.1 * 0.125e-9
    assert exact["cost_usd"] == pytest.approx(10 * lookup + 7 * 100 * byte_hours)
    semantic = next(row for row in frontier if row["threshold"] == 0.9)
    embed = 0.045 / 3600 / 14_500
    store = 6 * (100 + 1024 / 4.5) * byte_hours
    assert semantic["cost_usd"] == pytest.approx(10 * lookup + 7 * (lookup + embed) + store)
    assert semantic["net_usd"] == pytest.approx(semantic["saved_usd"] - semantic["cost_usd"])


def slow_replay(
    log: Path, threshold: float, ttl_s: float, *, sliding: bool, capacity: int | None, per_user: bool
) -> list[tuple[Any, ...]]:
    """(request, source, similarity, kind, age, usd) of every hit, one request after the other, without a graph."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    prompts = sorted({record["request"]["messages"][1]["content"] for record in records})
    vector = dict(zip(prompts, static_vectors(prompts).astype(float), strict=True))
    # by text under its context: how it was first written; by text and user: its number, then (id, prompt, time) of the
    # answer and the time of its last use
    spelled: dict[tuple[str, ...], str] = {}
    numbers: dict[tuple[str, ...], int] = {}
    held: OrderedDict[tuple[str, ...], tuple[str, str, float, float]] = OrderedDict()
    hits: list[tuple[Any, ...]] = []
    for number, record in enumerate(records):
        system, prompt = (message["content"] for message in record["request"]["messages"])
        user = (record["user"] or f"nobody-{number}") if per_user else ""
        folded = " ".join(unicodedata.normalize("NFKC", prompt).casefold().split()).rstrip(" .!?")
        key = (system, user, folded)
        text = spelled.setdefault(key[::2], prompt)
        numbers.setdefault(key, len(numbers))
        now = datetime.fromisoformat(record["timestamp"]).timestamp()
        name = record["response"]["id"]

        def alive(entry: tuple[str, str, float, float], now: float = now) -> bool:
            return now - entry[3 if sliding else 2] <= ttl_s

        found, similarity = (key, 1.0) if key in held and alive(held[key]) else (None, 0.0)
        if found is None:
            near = [
                (-float(np.float32(vector[text] @ vector[spelled[other[::2]]])), numbers[other], other)
                for other, entry in held.items()
                if other[:2] == key[:2] and other != key and alive(entry) and not objection(text, spelled[other[::2]])
            ]
            if near and -min(near)[0] >= threshold:
                found, similarity = min(near)[2], -min(near)[0]
        if found is None:
            held[key] = (name, prompt, now, now)
            held.move_to_end(key)
            if capacity is not None and len(held) > capacity:
                held.popitem(last=False)
            continue
        source, stored, since, _ = held[found]
        held[found] = (source, stored, since, now)
        held.move_to_end(found)
        kind = "semantic" if found != key else "exact" if prompt == stored else "respelled"
        hits.append((name, source, similarity, kind, now - since, COST))
    return hits


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ([], {}),
        (["--ttl-policy", "sliding"], {"sliding": True}),
        (["--capacity", "12"], {"capacity": 12}),
        (["--capacity", "12", "--ttl-policy", "sliding"], {"capacity": 12, "sliding": True}),
        (["--scope", "user"], {"per_user": True}),
    ],
)
@pytest.mark.parametrize("threshold", [0.83, 0.95])
def test_every_hit_is_that_of_an_independent_replay(
    run: Run, tmp_path: Path, options: list[str], settings: dict[str, Any], threshold: float
) -> None:
    log = at_random(tmp_path / "log.jsonl", 400)
    hits = tmp_path / "hits.jsonl"
    ran = run("cache", log, "--threshold", str(threshold), "--ttl", "2h", *options, "--hits", str(hits), "--json", "-")
    assert ran.code == 0, ran.err
    choice = {"sliding": False, "capacity": None, "per_user": False} | settings
    expected = slow_replay(tmp_path / "log.jsonl", threshold, 7200.0, **choice)
    found = [tuple(row.values()) for row in rows_of(hits)]
    assert len(expected) > 15 and [row[:2] for row in found] == [row[:2] for row in expected]
    assert [row[3] for row in found] == [row[3] for row in expected]
    for column in (2, 4, 5):
        assert [row[column] for row in found] == pytest.approx([row[column] for row in expected], abs=2e-6)
